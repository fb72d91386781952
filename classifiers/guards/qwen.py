"""Qwen3Guard (Gen): ``Safety: Unsafe`` and ``Categories: Violent`` on two lines, and for answers ``Refusal: No`` on a third.

Documented in the model card (huggingface.co/Qwen/Qwen3Guard-Gen-8B) and in arXiv 2510.14276, whose *strict mode* counts
*controversial* as unsafe; so do we. No category is about weapons: *violent* includes instructions for them. The label
*jailbreak* is about the manner of a prompt, and alone stands for no category.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from classifiers.guards.base import Answer, Ask, deciding, inert, share, unknown

_SAID: Final = re.compile(
    r"\s*Safety: *(?P<verdict>Safe|Unsafe|Controversial) *\n\s*Categories: *(?P<names>[^\n]*?) *(?:\n\s*Refusal: *(?:Yes|No) *)?\s*"
)
_WORD: Final = re.compile(r"Safety:\s*(?P<word>Safe|Unsafe|Controversial)")
LABELS: Final = MappingProxyType(
    {
        "Violent": "other_harm",
        "Non-violent Illegal Acts": "other_harm",
        "Sexual Content or Sexual Acts": "other_harm",
        "PII": "other_harm",
        "Suicide & Self-Harm": "other_harm",
        "Unethical Acts": "other_harm",
        "Politically Sensitive Topics": "none",
        "Copyright Violation": "none",
        "Jailbreak": "none",
    }
)


class Qwen3Guard:
    """See the module. Labels that are named have the probability of *unsafe* or *controversial*; told *safe*, all have it."""

    id = "qwen3guard"
    labels = LABELS

    def asks(self, text: str) -> tuple[Ask, ...]:
        """One, in the model's own chat template."""
        return (Ask(64, chat=inert(text)),)

    def read(self, answers: Sequence[Answer]) -> Mapping[str, float]:
        """See ``Family.read``."""
        (answer,) = answers
        said = _SAID.fullmatch(answer.text)
        if said is None or not answer.finished:
            raise unknown(self.id, answer)
        unsafe = share(deciding(answer, _WORD), ("unsafe", "controversial"), ("safe",))
        names = {name.strip() for name in said["names"].split(",")} - {"None"}
        if not names <= LABELS.keys() or bool(names) is (said["verdict"] == "Safe"):
            raise unknown(self.id, answer)
        return {label: unsafe if label in names or not names else 0.0 for label in LABELS}
