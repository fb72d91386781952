from __future__ import annotations

from support.control_values import CONTENT

from gateway.controls.rulings import CHAIN, Failure, Tally, answer_ruling, ruling
from gateway.verdict import Cause, Judgement, Outcome, Reason, Verdict, allow


def test_no_group_is_no_judge() -> None:
    """An empty list of checks could not be evaluated, in both directions."""
    for empty in (ruling([]), answer_ruling([])):
        assert (empty.verdict.outcome, empty.verdict.cause) == (Outcome.COULD_NOT_EVALUATE, Cause.INFRASTRUCTURE)
        assert (empty.verdict.reason, empty.verdict.control) == (Reason.NO_JUDGE, CHAIN)
        assert empty.verdicts == (empty.verdict,)


def test_an_undecided_group_is_no_judge() -> None:
    """A tally that nobody decided weighs as a failure, never as nothing."""
    done = Tally("a")
    done.decide(allow("a"), 0)
    assert ruling([done, Tally("b")]).verdict.reason is Reason.NO_JUDGE


def test_a_ruling_keeps_everything_in_group_order() -> None:
    """Verdicts, failures, substitutes, open passes and times of all groups stand in the ruling; the worst counts."""
    one, two = Tally("one"), Tally("two")
    one.decide(allow("a"), 1)
    one.failures.append(Failure("b", Reason.CONTROL_RAISED, "one"))
    one.seconds.append(("b", 0.5))
    one.judgements = (Judgement(CONTENT, 1, allow("a")),)
    block = Verdict(Outcome.BLOCK, "c", Reason.RULE_MATCHED)
    two.decide(block, 0)
    two.passed_open = True
    two.judgements = (Judgement(CONTENT, 0, block),)
    whole = ruling([one, two], ("three",))
    assert whole.verdict is block
    assert whole.verdicts == (allow("a"), block)
    assert whole.failures == (Failure("b", Reason.CONTROL_RAISED, "one"),)
    assert (whole.substitutes, whole.passed_open, whole.unasked) == (("one",), ("two",), ("three",))
    assert whole.seconds == (("b", 0.5),)
    answer = answer_ruling([one, two])
    assert [name for name, _ in answer.judgements] == ["one", "two"]
    assert (answer.verdict, answer.verdicts, answer.failures) == (whole.verdict, whole.verdicts, whole.failures)


class Unplain(Tally):
    """A tally that takes the long way, whatever is in it."""

    @property
    def plain(self) -> bool:
        return False


def test_one_plain_group_is_ruled_on_as_many_are() -> None:
    """The short way for a single group without a failure gives the very ruling that the long way gives."""
    block = Verdict(Outcome.BLOCK, "a", Reason.RULE_MATCHED)
    for verdict in (allow("a"), block):
        short, long = Tally("one"), Unplain("one")
        for tally in (short, long):
            tally.judgements = (Judgement(CONTENT, 1, verdict),)
            tally.seconds.append(("a", 0.5))
            tally.verdicts.append(allow("w"))
            tally.decide(verdict, 0)
        assert short.plain
        assert answer_ruling([short]) == answer_ruling([long])


def test_whatever_is_to_be_told_makes_a_group_unplain() -> None:
    """Undecided, failed, substituted and passed-open groups take the long way."""
    decided = {"verdict": allow("a")}
    assert not Tally("one").plain
    assert not Tally("one", **decided, failures=[Failure("a", Reason.CONTROL_RAISED, "one")]).plain
    assert not Tally("one", **decided, substitute=True).plain
    assert not Tally("one", **decided, passed_open=True).plain
