"""Readiness, which is local: policy in force, required classifiers warm, ledger writable, not draining. Never store or upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Readiness:
    """What stands between this replica and its traffic. ``checks`` maps a reason to a function that says whether it holds."""

    checks: dict[str, Callable[[], bool]] = field(default_factory=dict)

    def reasons(self) -> list[str]:
        """The reasons why this replica is not ready; none when it is."""
        return [reason for reason, holds in self.checks.items() if holds()]
