from __future__ import annotations

import pytest

from classifiers.guards.apis import APIS, api
from classifiers.guards.spec import KINDS, Guard


def test_every_kind_behind_a_server_has_an_api() -> None:
    """All kinds but the one that runs here."""
    assert {*APIS, "transformer"} == set(KINDS)


def test_the_one_that_runs_here_has_none() -> None:
    """A transformer is loaded, not asked."""
    with pytest.raises(KeyError):
        api(Guard(id="g", kind="transformer", folder="/m", pins={"a": "0"}, categories={"a": "cbrn"}))
