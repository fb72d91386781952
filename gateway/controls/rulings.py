"""What a chain hands out: the verdict that counts, and everything that ledger and metrics want to know about it."""

from __future__ import annotations

from msgspec import Struct

from gateway.verdict import Judgement, Reason, Verdict, failed, worst

CHAIN = "chain"  # the control id of a verdict that no control gave


class Failure(Struct, frozen=True):
    """A control could not judge for a group; ``reason`` is one of the ``CONTROL_*`` reasons."""

    control: str
    reason: Reason
    group: str


class Ruling(Struct, frozen=True):
    """The chain's word on one input."""

    verdict: Verdict  # the worst over the groups that count
    verdicts: tuple[
        Verdict, ...
    ]  # every word given, shadow ones marked; of failed controls only where nobody replaced them
    failures: tuple[Failure, ...] = ()
    substitutes: tuple[str, ...] = ()  # groups judged by another than their first member
    passed_open: tuple[str, ...] = ()  # groups that nobody judged and whose profile says ``on_failure: pass``
    seconds: tuple[tuple[str, float], ...] = ()  # (control, time taken), in the order asked
    unasked: tuple[str, ...] = ()  # groups that did not run because an earlier one had blocked


class AnswerRuling(Struct, frozen=True):
    """The chain's word on one step of an answer. The fields of ``Ruling``, and a judgement per group and channel."""

    judgements: tuple[tuple[str, Judgement], ...]
    verdict: Verdict
    verdicts: tuple[Verdict, ...]
    failures: tuple[Failure, ...] = ()
    substitutes: tuple[str, ...] = ()
    passed_open: tuple[str, ...] = ()
    seconds: tuple[tuple[str, float], ...] = ()


class Tally(Struct):
    """What happened in one group, while it happens."""

    name: str
    verdict: Verdict | None = None  # the group's word; None until it is decided
    verdicts: list[Verdict] = []
    judgements: tuple[Judgement, ...] = ()
    failures: list[Failure] = []
    seconds: list[tuple[str, float]] = []
    substitute: bool = False
    passed_open: bool = False

    @property
    def plain(self) -> bool:
        """Decided by the first member, and nothing else to tell."""
        return self.verdict is not None and not (self.failures or self.substitute or self.passed_open)

    def decide(self, verdict: Verdict, position: int) -> None:
        """The member at ``position`` judged for the group."""
        self.verdict = verdict
        self.verdicts.append(verdict)
        self.substitute = position > 0


def no_judge() -> Verdict:
    """Nobody was asked: an empty list of checks is a failure, never a pass."""
    return failed(CHAIN, Reason.NO_JUDGE)


def ruling(tallies: list[Tally], unasked: tuple[str, ...] = ()) -> Ruling:
    """One ruling over the tallies of all groups; no group at all is ``no_judge``."""
    verdict = _worst(tallies)
    return Ruling(
        verdict=verdict,
        verdicts=_verdicts(tallies) or (verdict,),
        failures=_failures(tallies),
        substitutes=_substitutes(tallies),
        passed_open=_passed_open(tallies),
        seconds=_seconds(tallies),
        unasked=unasked,
    )


def answer_ruling(tallies: list[Tally]) -> AnswerRuling:
    """One ruling over the tallies of all groups in one step; no group at all is ``no_judge``."""
    if len(tallies) == 1 and tallies[0].plain:
        return _plain(tallies[0])
    verdict = _worst(tallies)
    return AnswerRuling(
        judgements=tuple([(tally.name, judgement) for tally in tallies for judgement in tally.judgements]),
        verdict=verdict,
        verdicts=_verdicts(tallies) or (verdict,),
        failures=_failures(tallies),
        substitutes=_substitutes(tallies),
        passed_open=_passed_open(tallies),
        seconds=_seconds(tallies),
    )


def _plain(tally: Tally) -> AnswerRuling:
    """The ruling over one plain tally, which nearly every step of every answer is."""
    judgements = tuple([(tally.name, judgement) for judgement in tally.judgements])
    return AnswerRuling(judgements, _worst([tally]), tuple(tally.verdicts), seconds=tuple(tally.seconds))


def _worst(tallies: list[Tally]) -> Verdict:
    # A tally that was never decided is a fault of the chain; it must not drop out of the sum.
    return worst([tally.verdict or no_judge() for tally in tallies] or [no_judge()])


def _verdicts(tallies: list[Tally]) -> tuple[Verdict, ...]:
    return tuple([verdict for tally in tallies for verdict in tally.verdicts])


def _failures(tallies: list[Tally]) -> tuple[Failure, ...]:
    return tuple([failure for tally in tallies for failure in tally.failures])


def _substitutes(tallies: list[Tally]) -> tuple[str, ...]:
    return tuple([tally.name for tally in tallies if tally.substitute])


def _passed_open(tallies: list[Tally]) -> tuple[str, ...]:
    return tuple([tally.name for tally in tallies if tally.passed_open])


def _seconds(tallies: list[Tally]) -> tuple[tuple[str, float], ...]:
    return tuple([entry for tally in tallies for entry in tally.seconds])
