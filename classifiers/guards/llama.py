"""Llama Guard 3 and 4: ``safe``, or ``unsafe`` and a second line with the codes of the hazards.

Documented at llama.com/docs/model-cards-and-prompt-formats/llama-guard-3 and .../llama-guard-4 ("safe" / "unsafe\\nS9",
several codes separated by commas; the probability of the first token is the score). The model's chat template holds the
policy: S9 is *indiscriminate weapons* (chemical, biological, radiological, nuclear, high-yield explosives); S14, code
interpreter abuse, is only in some sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from classifiers.guards.base import Answer, Ask, deciding, inert, share, unknown

_SAID: Final = re.compile(r"\s*(?:safe|unsafe\s*\n\s*(?P<codes>S\d{1,2}(?:\s*,\s*S\d{1,2})*))\s*")
_WORD: Final = re.compile(r"\s*(?P<word>safe|unsafe)")
LABELS: Final = MappingProxyType({f"S{number}": "cbrn" if number == 9 else "other_harm" for number in range(1, 15)})


class LlamaGuard:
    """See the module. Told *unsafe*, the codes named have its probability; told *safe*, every code has what is left."""

    id = "llama-guard"
    labels = LABELS

    def asks(self, text: str) -> tuple[Ask, ...]:
        """One, in the model's own chat template."""
        return (Ask(48, chat=inert(text)),)

    def read(self, answers: Sequence[Answer]) -> Mapping[str, float]:
        """See ``Family.read``."""
        (answer,) = answers
        said = _SAID.fullmatch(answer.text)
        if said is None or not answer.finished:
            raise unknown(self.id, answer)
        unsafe = share(deciding(answer, _WORD), ("unsafe",), ("safe",))
        if said["codes"] is None:
            return dict.fromkeys(LABELS, unsafe)
        codes = {code.strip() for code in said["codes"].split(",")}
        if not codes <= LABELS.keys():
            raise unknown(self.id, answer)
        return {label: unsafe if label in codes else 0.0 for label in LABELS}
