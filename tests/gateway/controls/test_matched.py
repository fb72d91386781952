from __future__ import annotations

import base64

import pytest
from support.canary import CANARY, CANARY_RULES, DISGUISES, rule, rule_set
from support.control_values import CONTENT, context, cut, exchange, leaf, piece, terms

from gateway.controls import matched
from gateway.controls.benign import benign
from gateway.controls.matched import MatchingControl, costly, find
from gateway.controls.matching import Matcher, RuleError
from gateway.exchange import Channel, ChannelKey, Direction, Origin
from gateway.terms import RuleSet, Terms
from gateway.verdict import Outcome, Reason, Verdict

MATCHERS = (Matcher(CANARY_RULES), Matcher(rule_set(rule("short", "zorb lax"))))


def sets_of(given: Terms) -> frozenset[RuleSet]:
    """The rule sets of the terms, as the rules control picks them."""
    return given.rule_sets


def control() -> MatchingControl:
    """A control that matches the rule sets in force."""
    return MatchingControl("m", Reason.RULE_MATCHED, sets_of)


IN_FORCE = context(terms(rules=[CANARY_RULES, rule_set(rule("short", "zorb lax"))]))


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
async def test_every_disguise_is_blocked(disguise: str) -> None:
    """The canary is found in prose in each of its disguises, and the verdict names rule and leaf, not the text."""
    verdict = await control().judge_input(exchange("Hello.", f"Please read {disguise} and go on."), IN_FORCE)
    assert verdict == Verdict(
        Outcome.BLOCK, "m", Reason.RULE_MATCHED, category="cbrn", detail="rr-canary at messages[1].content"
    )


@pytest.mark.parametrize(
    "twin",
    [
        "Amber light and a kestrel; the protocol of the meeting.",
        "protocol kestrel amber",
        base64.b64encode(b"the minutes of the meeting are attached").decode(),
        b"the blue heron summary".hex(" "),
        "a zorb, laxly kept",
        "zorblax",
        "аmbеr alone",
    ],
)
async def test_benign_twins_pass(twin: str) -> None:
    """Texts that share words, encodings or letters with the rules are allowed."""
    verdict = await control().judge_input(exchange(twin), IN_FORCE)
    assert verdict.outcome is Outcome.ALLOW


def test_benign_text_passes_as_one_conversation() -> None:
    """All harmless sentences together, as turns of one request, hit nothing."""
    assert find(MATCHERS, exchange(*benign()).leaves, 0) is None


def test_words_split_over_parts_and_turns_are_found() -> None:
    """Over parts of a message, over turns, over the user's turns around answers, and encoded over parts."""
    run = base64.b64encode(CANARY.encode()).decode()
    parts = [
        leaf(part, f"messages[0].content[{place}].text")
        for place, part in enumerate(("Say: amb", "er kest", "rel proto", "col"))
    ]
    turns = [leaf(word, f"messages[{place}].content") for place, word in enumerate(("amber", "kestrel", "protocol"))]
    around = [turns[0], leaf("Go on.", "messages[1].content", Origin.MODEL_HISTORY), *turns[1:]]
    encoded = [leaf(run[at : at + 10], f"messages[0].content[{at}].text") for at in range(0, len(run), 10)]
    assert find(MATCHERS, parts, 0) == (CANARY_RULES.rules[0], "messages[0].content[3].text")
    assert find(MATCHERS, turns, 0) == (CANARY_RULES.rules[0], "messages[2].content")
    assert find(MATCHERS, around, 0) is not None
    assert find(MATCHERS, encoded, 0) is not None


def test_short_literals_do_not_hit_joined_leaves() -> None:
    """A short literal that only comes about by joining turns is no match."""
    assert find(MATCHERS, exchange("zorb ", "lax").leaves, 0) is None


async def test_expired_and_output_rules_do_not_judge_requests() -> None:
    """A rule counts until its expiry, and only in its directions."""
    now = IN_FORCE.now
    for one, outcome in (
        (rule(literal=CANARY, expires=now + 1), Outcome.BLOCK),
        (rule(literal=CANARY, expires=now), Outcome.ALLOW),
        (rule(literal=CANARY, directions=frozenset({Direction.OUTPUT})), Outcome.ALLOW),
    ):
        verdict = await control().judge_input(exchange(CANARY), context(terms(rules=[rule_set(one)])))
        assert verdict.outcome is outcome


async def test_no_rules_is_an_allow() -> None:
    """Without rule sets, or with empty ones, everything passes and nothing is compiled."""
    one = control()
    for given in (terms(), terms(rules=[rule_set()])):
        assert (await one.judge_input(exchange(CANARY), context(given))).outcome is Outcome.ALLOW
        (judgement,) = await one.open_answer(exchange("x"), context(given)).step((piece(CANARY),))
        assert (judgement.cleared, judgement.verdict.outcome) == (len(CANARY), Outcome.ALLOW)
    assert not one._compiled
    assert await one.healthy()


async def test_long_requests_are_judged_too() -> None:
    """What is judged in a thread gets the same verdict: long plain text, and shorter text in other scripts."""
    for filler in ("plain words here. " * 2000, "обычные слова. " * 600):
        assert (await control().judge_input(exchange(filler, f"{filler}{CANARY}"), IN_FORCE)).outcome is Outcome.BLOCK
        assert (await control().judge_input(exchange(filler), IN_FORCE)).outcome is Outcome.ALLOW


def test_what_is_costly() -> None:
    """Short text never is; long text always; between them what is not ASCII or looks encoded."""
    assert not costly(["я" * 1000])
    assert not costly(["plain words. " * 1000])
    assert not costly(["plain words. " * 400])
    assert costly(["я" * 5000])
    assert costly(["plain words. " * 400, base64.b64encode(b"x" * 300).decode()])
    assert costly(["plain words. " * 2000])


@pytest.mark.parametrize("size", [1, 3, 4, 17, 10_000])
async def test_answers_are_followed(size: int) -> None:
    """A harmless answer is cleared to its end; a harmful one is blocked with nothing of the match cleared, and stays blocked."""
    judge = control().open_answer(exchange("x"), IN_FORCE)
    text = " ".join(benign()[:40])
    cleared = [(await judge.step((one,)))[0].cleared for one in cut(text, size)]
    assert cleared == sorted(cleared)
    assert cleared[-1] == len(text)
    judge = control().open_answer(exchange("x"), IN_FORCE)
    verdicts = []
    for one in cut(f"Well: {CANARY} and so on and on", size):
        (judgement,) = await judge.step((one,))
        assert judgement.cleared <= 6
        verdicts.append(judgement.verdict)
    assert verdicts[-1] == Verdict(
        Outcome.BLOCK, "m", Reason.RULE_MATCHED, category="cbrn", detail="rr-canary at content"
    )


async def test_a_match_in_one_channel_stops_all() -> None:
    """After a match no channel of the answer is cleared any further; each channel of a step is judged once."""
    judge = control().open_answer(exchange("x"), IN_FORCE)
    other = ChannelKey(1, Channel.REASONING)
    await judge.step((piece("fine. ", key=other),))
    judgements = await judge.step((piece(CANARY + "."), piece("more", 6, key=other), piece(" text", len(CANARY) + 1)))
    assert [one.key for one in judgements] == [CONTENT, other]
    assert {one.verdict.outcome for one in judgements} == {Outcome.BLOCK}
    assert [one.cleared for one in judgements] == [0, 5]


async def test_a_judge_may_begin_in_the_middle() -> None:
    """A judge that is opened when an answer is already under way counts from the offset that it is given."""
    judge = control().open_answer(exchange("x"), IN_FORCE)
    (judgement,) = await judge.step((piece("and then ", 500),))
    assert judgement.cleared == 508  # the last character waits for marks that may follow it


async def test_long_answers_are_judged_too() -> None:
    """A unary answer too long for the event loop is judged whole, encodings included."""
    judge = control().open_answer(exchange("x"), IN_FORCE)
    (judgement,) = await judge.step((piece("plain words. " * 2000 + DISGUISES["base64"], final=True),))
    assert (judgement.verdict.outcome, judgement.cleared) == (Outcome.BLOCK, 0)


async def test_rule_sets_are_compiled_once_and_forgotten_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prepared set is used as it is; beyond the limit the one that was not used for longest goes."""
    monkeypatch.setattr(matched, "_CACHED", 2)
    one = control()
    sets = [rule_set(rule(literal=f"{CANARY} {place}")) for place in range(3)]
    first = one.prepare(sets[0])
    assert one.prepare(sets[0]) is first
    one.prepare(sets[1])
    assert await one.matchers(terms(rules=[sets[0]])) == (first,)
    one.prepare(sets[2])
    assert list(one._compiled) == [sets[0].digest, sets[2].digest]


async def test_a_set_that_does_not_compile_raises() -> None:
    """A faulty rule set is not read as "no rules": the chain records could-not-evaluate."""
    faulty = context(terms(rules=[rule_set(rule("rr-9", pattern="(a"))]))
    with pytest.raises(RuleError):
        await control().judge_input(exchange("x"), faulty)
    with pytest.raises(RuleError):
        await control().open_answer(exchange("x"), faulty).step((piece("x"),))
