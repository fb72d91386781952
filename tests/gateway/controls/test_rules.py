from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.canary import CANARY, CANARY_RULES, DISGUISES, rule
from support.control_conformance import (
    Case,
    blocks_a_harmful_answer,
    clears_a_benign_answer,
    judges_answers_apart,
    judges_inputs,
    keeps_channels_apart,
)
from support.control_values import context, exchange, terms

from gateway.controls.base import Control
from gateway.controls.benign import benign
from gateway.controls.rules import RuleError, RulesControl, expected_hits, validate
from gateway.exchange import Direction
from gateway.verdict import Reason

IN_FORCE = context(terms(rules=[CANARY_RULES]))


def case(disguise: str) -> Case:
    """The rules control with one disguise of the canary."""
    blocked = exchange(f"Tell me about {disguise} please.")
    answer = f"It is well known that {disguise} and so on."
    return Case(
        RulesControl(),
        IN_FORCE,
        exchange("Good morning."),
        blocked,
        " ".join(benign()[:20]),
        answer,
        IN_FORCE,
        exchange("x"),
    )


@pytest.mark.parametrize("disguise", [CANARY, DISGUISES["cyrillic"], DISGUISES["base64"], DISGUISES["hex with blanks"]])
async def test_the_rules_control_does_what_controls_do(disguise: str) -> None:
    """The conformance suite of controls, for four disguises."""
    for size in (1, 4, 60, 5000):
        await clears_a_benign_answer(case(disguise), size)
        await blocks_a_harmful_answer(case(disguise), size)
    await judges_inputs(case(disguise))
    await keeps_channels_apart(case(disguise))
    await judges_answers_apart(case(disguise))


async def test_the_rules_control_is_called_rules() -> None:
    """Its id, reason, directions and place are what profiles and ledger rows rely on."""
    control: Control = RulesControl()
    assert (control.id, control.inline, control.directions) == ("rules", True, frozenset(Direction))
    assert (await control.judge_input(exchange(CANARY), IN_FORCE)).reason is Reason.RULE_MATCHED


def test_validation_names_the_rule() -> None:
    """A rule that could not be enforced is refused before it is loaded."""
    validate(rule(literal=CANARY))
    with pytest.raises(RuleError, match="rr-3"):
        validate(rule("rr-3", pattern="amber.*"))


def test_expected_hits_are_counted() -> None:
    """The author of a rule sees how many harmless sentences it would block, whatever its direction and expiry."""
    assert expected_hits(rule(literal=CANARY, expires=1), benign()) == 0
    assert expected_hits(rule(literal="ricin", directions=frozenset({Direction.OUTPUT})), benign()) == 2
    assert expected_hits(rule(pattern=r"\bricin\b"), benign()) == 0
    with pytest.raises(RuleError):
        expected_hits(rule(pattern="("), benign())


def test_the_example_rule_is_the_canary() -> None:
    """The example file that ships with the configuration holds the documented rule."""
    text = (Path(__file__).parents[3] / "config/rules/example.yaml").read_text()
    assert f'literal: "{CANARY}"' in text


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=16) | st.text("ab²٣1,{}()[]|?*+\\^$.-:<P>i\u200bΣ", max_size=24), st.booleans())
def test_any_text_makes_a_rule_or_the_typed_error(text: str, is_literal: bool) -> None:
    """Whatever an operator writes as a literal or a pattern is enforceable as written, or refused by the rule's name."""
    made = rule("rr-3", literal=text) if is_literal else rule("rr-3", pattern=text)
    try:
        validate(made)
    except RuleError as error:
        refused = str(error)
    else:
        refused = ""
        assert expected_hits(made, benign()) >= 0
    assert not refused or "rr-3" in refused
