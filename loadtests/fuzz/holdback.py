"""Target: the hold-back machine under answers, cuts, judges and flags that are read from bytes. The claims are the tests' own."""

from __future__ import annotations

from support.screening_claims import keeps_phrase, runs_clean, runs_flagged, runs_whole

from gateway.screening import Screening

CLAIMS = (keeps_phrase, runs_clean, runs_flagged, runs_whole)


def machine(data: bytes, made: type[Screening] = Screening) -> None:
    """The first byte chooses the claim, the rest is what happens."""
    CLAIMS[data[0] % len(CLAIMS) if data else 0](made, data[1:])
