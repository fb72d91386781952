"""The documentation is held against the code: what is stale fails the build; `python tests/test_docs.py` rewrites what is generated."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.codes import codes  # noqa: E402
from support.policies import built_in  # noqa: E402
from support.sdk.table import sdk_page  # noqa: E402

from gateway.cli.main import app  # noqa: E402  # the path must be set first when run as a script
from gateway.controls.magic import MAGIC  # noqa: E402
from gateway.errors import GatewayError  # noqa: E402
from gateway.metrics import SPECS, Result  # noqa: E402
from gateway.policy.tables import level_control_table  # noqa: E402
from gateway.settings.reference import config_reference  # noqa: E402
from gateway.verdict import Reason  # noqa: E402
from gateway.wire.tables import field_table  # noqa: E402

README = ROOT / "README.md"
CONTRACT = ROOT / "docs" / "contract.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
REASONS = ROOT / "docs" / "reasons.md"
WIRE = ROOT / "docs" / "wire.md"
ERRORS = ROOT / "docs" / "errors.md"
SDK = ROOT / "docs" / "sdk.md"


def between(text: str, name: str) -> str:
    """What stands between the markers of a generated part."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    return text[text.index(begin) + len(begin) : text.index(end)]


def levels_table() -> str:
    """The table of the README."""
    return level_control_table(built_in())


def configuration() -> str:
    """docs/configuration.md."""
    head = (
        "# Configuration\n\nGenerated from the settings; `python tests/test_docs.py` rewrites it.\n"
        "Layers: defaults < file < environment (`ASL_GATEWAY__LIMITS__BODY=1MiB`) < flags.\n"
        "Paths in a file are relative to the file. Sizes are bytes or B, KiB, MiB, GiB; durations seconds.\n\n"
    )
    return head + config_reference()


def wire() -> str:
    """docs/wire.md."""
    head = (
        "# What happens to each field\n\nGenerated from the parsers' own tables; `python tests/test_docs.py` rewrites it.\n"
        "*Screened*: every string of it is judged. *Inert*: enumerated, a flag, or a number in its range. *Refused*: 400 naming it.\n"
        "What is not listed is dropped at the top level and named in `x-asl-dropped`, and refused inside messages and tools\n"
        "(but for `parsed` and `parsed_arguments`, the SDK's own copies of texts beside them, which are dropped and named too).\n"
        "`/v1/messages/count_tokens` takes the fields of messages; those that are about the answer are dropped there.\n"
        "[sdk.md](sdk.md) says what that means to an application.\n\n"
    )
    return head + field_table()


def test_every_field_is_documented() -> None:
    """docs/wire.md is what the parsers do."""
    assert WIRE.read_text() == wire()


def test_every_sdk_feature_is_documented() -> None:
    """docs/sdk.md is what the tests of the SDKs prove."""
    assert SDK.read_text() == sdk_page(ROOT)


def test_the_level_table_is_the_profiles() -> None:
    """The README never promises more than the profiles switch on."""
    assert between(README.read_text(), "levels") == levels_table()


def test_every_setting_is_documented() -> None:
    """docs/configuration.md is what the models say."""
    assert CONFIGURATION.read_text() == configuration()


def test_every_metric_is_in_the_contract() -> None:
    """Each metric stands there with its labels, and nothing else does."""
    text = CONTRACT.read_text().split("## Metrics")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \| (.*?) ?\|$", text, re.MULTILINE))
    assert rows == {spec.name: ", ".join(spec.labels) for spec in SPECS}


def test_every_outcome_is_in_the_contract() -> None:
    """The closed set of outcomes is documented."""
    text = CONTRACT.read_text().split("### `outcome` values")[1].split("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == {result.value for result in Result}


def test_every_command_is_in_the_contract() -> None:
    """Each command of the program has its place."""
    text = CONTRACT.read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    names += [str(group.name) for group in app.registered_groups]
    for name in names:
        assert f"asl-gateway {name}" in text, name


def test_every_magic_string_is_in_the_readme() -> None:
    """An application developer can try each block."""
    text = README.read_text()
    assert all(magic in text for magic in MAGIC.values())


def test_every_reason_and_control_is_documented() -> None:
    """Reason ids of ledger and metrics, and the controls that profiles name."""
    text = REASONS.read_text()
    for reason in Reason:
        assert f"`{reason.value}`" in text, reason
    for control in MAGIC:
        assert f"`{control}`" in text, control


def test_every_error_code_is_documented() -> None:
    """Each code that the source can answer with has a row that says what to do next, and no row is about a code that is gone."""
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (.+?) \| (.+?) \|$", ERRORS.read_text(), re.MULTILINE)
    assert {row[0] for row in rows} == codes()
    for code, status, meaning, following in rows:
        assert re.fullmatch(r"\d{3}|4xx|–", status), code
        assert meaning, code
        assert following, code


def test_statuses_of_error_codes_are_the_documented_ones() -> None:
    """A class of the exception tree stands on the page with the status that it is answered with."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", ERRORS.read_text().split("## Framing")[0], re.MULTILINE))
    for kind in every(GatewayError):
        if "code" in vars(kind) and kind.code in rows:
            assert rows[kind.code] == str(kind.status), kind.__name__


def every(kind: type[GatewayError]) -> list[type[GatewayError]]:
    """A class and all below it."""
    return [kind, *(found for child in kind.__subclasses__() for found in every(child))]


def rewrite() -> None:
    """Rewrite everything that is generated."""
    text, begin = README.read_text(), "<!-- levels:begin -->\n"
    README.write_text(text.replace(begin + between(text, "levels"), begin + levels_table(), 1))
    CONFIGURATION.write_text(configuration())
    WIRE.write_text(wire())
    SDK.write_text(sdk_page(ROOT))


if __name__ == "__main__":
    rewrite()
