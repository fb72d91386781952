"""``asl-gateway level``: what it prints, what it changes, and what it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result
from support.running import Running

from gateway.cli import level
from gateway.cli.exits import Exit

pytestmark = pytest.mark.usefixtures("clean")
Asl = Callable[..., Result]


def test_show_prints_record_and_level(asl: Asl) -> None:
    """All models are listed with the level in force and its record."""
    done = asl("level", "show")
    assert done.exit_code == 0
    assert "demo-model: asl-3 in force, serving" in done.stdout
    assert "record: asl-3 (provisional" in done.stdout


def test_show_takes_an_alias(asl: Asl) -> None:
    """One model is found under each of its names."""
    assert json.loads(asl("level", "show", "demo", "--json").stdout)["models"][0]["model"] == "demo-model"


def test_show_of_an_unknown_model_fails(asl: Asl) -> None:
    """A name that nobody registered ends with 1."""
    done = asl("level", "show", "nobody")
    assert done.exit_code == Exit.FAILURE
    assert 'no model is registered as "nobody"' in done.stderr


def test_raise_halts_at_once_and_release_lets_serve_again(asl: Asl, shared: Running) -> None:
    """The data plane refuses after the raise has returned, and serves after the release has."""
    raised = json.loads(asl("level", "raise", "demo-model", "asl-5", "--reason", "incident 12", "--json").stdout)
    assert (raised["in_force"], raised["converged"], raised["unattested"]) == ("asl-5", True, False)
    refused = shared.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "asl_serving_halted")
    shown = asl("level", "show")
    assert "brake:  asl-5 by tester: incident 12" in shown.stdout
    released = json.loads(asl("level", "release", "demo-model", "--reason", "clear", "--json").stdout)
    assert (released["in_force"], released["unattested"]) == ("asl-3", True)
    assert shared.chat().status_code == 200


def test_raise_and_release_speak_to_people(asl: Asl) -> None:
    """Without --json one line says what is in force; that a release is unattested is said on stderr."""
    assert "demo-model: asl-4 in force" in asl("level", "raise", "demo", "asl-4", "--reason", "r").stdout
    released = asl("level", "release", "demo", "--reason", "r")
    assert "demo-model: asl-3 in force" in released.stdout
    assert "unattested" in released.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("raise", "demo-model", "asl-2", "--reason", "r"), "must be stricter"),
        (("raise", "demo-model", "asl-9", "--reason", "r"), "asl-1 to asl-5"),
        (("raise", "no/body?x=#", "asl-5", "--reason", "r"), 'registered as "no/body?x=#"'),
        (("raise", "demo-model", "asl-5", "--reason", " "), "must not be empty"),
        (("release", "demo-model", "--reason", "r"), "no open brake"),
    ],
)
def test_a_change_that_is_refused_says_why(asl: Asl, arguments: tuple[str, ...], says: str) -> None:
    """What the gateway refuses ends with 1 and the gateway's own words."""
    done = asl("level", *arguments)
    assert done.exit_code == Exit.FAILURE
    assert says in done.stderr


def test_a_reason_is_required(asl: Asl) -> None:
    """A change without a reason is a usage error."""
    assert asl("level", "raise", "demo-model", "asl-5").exit_code == Exit.USAGE


def test_the_owner_is_the_user_where_none_is_named(asl: Asl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change always has a name on it."""
    monkeypatch.setattr(level.getpass, "getuser", lambda: "somebody")
    asl("level", "raise", "demo-model", "asl-4", "--reason", "r", "--owner", "")
    brakes = json.loads(asl("level", "show", "--json").stdout)["models"][0]["brakes"]
    assert [brake["owner"] for brake in brakes] == ["somebody"]


def test_lower_is_a_matter_of_permission(asl: Asl, shared: Running) -> None:
    """No command lowers a level: it ends with 4 and says what it would take."""
    done = asl("level", "lower", "demo-model", "asl-2", "--reason", "r")
    assert done.exit_code == Exit.PERMISSION
    assert "new evidence" in done.stderr
    assert shared.api("GET", "/models/demo-model").json()["in_force"] == "asl-3"


def test_not_converged_has_its_own_code(asl: Asl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is accepted but not in force everywhere ends with 5, and is still printed."""
    data = {"model": "m", "in_force": "asl-3", "revision": 4, "unattested": False, "converged": False}
    monkeypatch.setattr(level.AdminClient, "post", lambda *_: data)
    done = asl("level", "raise", "m", "asl-5", "--reason", "r", "--json")
    assert done.exit_code == Exit.NOT_CONVERGED
    assert json.loads(done.stdout) == data
