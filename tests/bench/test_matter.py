"""What the bench sends and loads is what the figures claim."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.controls.rules import validate
from gateway.settings.rules import read_rules
from loadtests.bench import matter as made
from loadtests.bench.matter import Matter, cut, rules, stream_bodies


def test_a_thousand_rules_are_loaded(matter: Matter) -> None:
    """The rules are valid, all different, a tenth of them patterns, and the same each time."""
    loaded = read_rules(matter.rules)
    for rule in loaded:
        validate(rule)
    assert len({(rule.literal, rule.pattern) for rule in loaded}) == made.RULES
    assert sum(rule.pattern is not None for rule in loaded) == made.PATTERNS
    assert rules() == rules()


def test_tokens_are_the_answers_and_nothing_that_json_would_escape(matter: Matter) -> None:
    """Tokens joined are the text; they and the prompts can stand inside a JSON string as they are."""
    text = " ".join(made.ANSWERS.read_text().split())
    assert "".join(cut(text)) == text == matter.tokens.read_text().replace("\n", "")
    for line in (*matter.prompts.read_text().splitlines(), text):
        assert json.dumps(line) == f'"{line}"'


def test_no_prompt_is_sent_twice(matter: Matter, tmp_path: Path) -> None:
    """Streams of one measurement and of the next have different prompts, so that no cache of scores answers."""
    seen = set()
    for salt in range(5):
        path = stream_bodies(matter, tmp_path / "bodies", streams=20, chunks=1, gap_us=0, salt=salt)
        seen |= {json.loads(line)["messages"][0]["content"] for line in path.read_text().splitlines()}
    assert len(seen) == 100
