"""What is published about the configuration is generated from it, and the example in the repository is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.settings.load import check, load
from gateway.settings.model import Settings
from gateway.settings.reference import MODELS, config_reference, json_schema, keys, published

CONFIG = Path(__file__).parents[3] / "config"
EXAMPLE = CONFIG / "gateway.yaml"
CONTROLS = ("halt", "rules", "lexicon", "input_screen", "output_screen", "harm_screen")


def table() -> dict[str, tuple[str, str, str]]:
    """The reference's rows by key."""
    rows = [line.strip("| ").split(" | ") for line in config_reference().splitlines()[2:]]
    return {name.strip("`"): (kind, default, meaning) for name, kind, default, meaning in rows}


def values(model: BaseModel, prefix: str = "") -> set[str]:
    """The dotted names of everything that a settings object holds."""
    found: set[str] = set()
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found |= values(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            found |= values(value[0], f"{prefix}{name}[].")
        else:
            found.add(f"{prefix}{name}")
    return found


@pytest.mark.parametrize("kind", MODELS)
def test_schemas_say_what_they_are_and_allow_nothing_unknown(kind: str) -> None:
    """Each schema names its dialect, forbids unknown keys everywhere, and gives every key of the settings a meaning."""
    schema = json_schema(kind)  # type: ignore[arg-type]  # a key of MODELS
    assert schema["$schema"].endswith("2020-12/schema")
    objects = [found for found in (schema, *schema["$defs"].values()) if found.get("type") == "object"]
    assert objects
    assert all(found["additionalProperties"] is False for found in objects)
    assert published(kind) == json.dumps(schema, indent=2, sort_keys=True) + "\n"  # type: ignore[arg-type]  # as above


def test_the_schema_in_the_repository_is_the_one_of_the_code() -> None:
    """``config/gateway.schema.json`` is what ``published()`` returns; after a change of the settings it is written again."""
    assert (CONFIG / "gateway.schema.json").read_text() == published(), (
        "write it again: python -c 'from gateway.settings.reference import published; print(published(), end=\"\")'"
        " > config/gateway.schema.json"
    )


def test_the_reference_has_every_key() -> None:
    """Every value of a loaded configuration stands in the table, with a meaning; nothing else but what it leaves out."""
    loaded = load(EXAMPLE, {}, {})
    groups = {"models[].upstream.key", "listen.tls", "admin.tls", "probes", "guards[]", "guards[].key"}
    parts = {name for name in table() if name.rpartition(".")[0] in groups}
    assert set(table()) - parts == values(loaded) - groups - {"guards"}
    assert all(meaning for _, _, meaning in table().values())
    assert [key.name for key in keys()] == list(table())


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        ("listen.address", "host:port", "`127.0.0.1:8080`"),
        ("admin.address", "host:port", "`127.0.0.1:8081`"),
        ("state", "path", "`state`"),
        ("store", "`sqlite`", "`sqlite`"),
        ("hosts", "list of host", "none"),
        ("limits.body", "size", "`8MiB`"),
        ("limits.streams", "number", "`2000`"),
        ("deadlines.grace", "seconds", "`1`"),
        ("levels", "path", "none"),
        ("classifiers", "true or false", "`true`"),
        ("screeners", "`auto` or number", "`auto`"),
        ("models[].name", "name", "required"),
        ("models[].upstream.key.env", "text", "none"),
        (
            "models[].upstream.dialects",
            "list of `openai.chat` or `anthropic.messages`",
            "`openai.chat`, `anthropic.messages`",
        ),
    ],
)
def test_types_and_defaults_are_in_words(key: str, kind: str, default: str) -> None:
    """A reader sees what to write and what holds without it, also for the parts of a key that may be left out whole."""
    assert table()[key][:2] == (kind, default)


def test_defaults_in_the_reference_are_real() -> None:
    """A configuration with nothing but what is required has the defaults that the table shows."""
    upstream = {"url": "http://127.0.0.1:9000"}
    bare = load(None, {}, {"models": [{"name": "m", "asl": 3, "upstream": upstream}]})
    shown = {key: default.strip("`") for key, (_, default, _) in table().items()}
    assert bare.listen.address == shown["listen.address"]
    assert bare.limits.in_flight == int(shown["limits.in_flight"].removesuffix("MiB")) << 20
    assert bare.deadlines.total == float(shown["deadlines.total"])
    assert str(bare.state) == shown["state"]


def test_the_example_has_no_fault() -> None:
    """``config/gateway.yaml``, its levels and its rules pass the check, and an editor finds the schema from its first line."""
    assert check(EXAMPLE, {}, controls=CONTROLS) == []
    first = EXAMPLE.read_text().splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match is not None
    assert (CONFIG / match[1]).is_file()


def test_the_example_names_every_key_and_its_default() -> None:
    """Each key stands in the example, in use or as a comment; but for those it says so of, the values are the defaults."""
    text = EXAMPLE.read_text()
    for key in keys():
        assert re.search(rf"\b{key.name.rpartition('.')[2]}\b", text), key.name
    example: dict[str, Any] = load(EXAMPLE, {}, {}).model_dump()
    for name, info in Settings.model_fields.items():
        if name not in {"state", "levels", "rules", "models"}:
            default = info.default.model_dump() if isinstance(info.default, BaseModel) else info.default
            assert example[name] == default, name
