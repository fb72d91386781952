"""Granite Guardian: one criterion per question, given to the model's chat template as ``guardian_config``.

Documented in the model cards. 3.3 (huggingface.co/ibm-granite/granite-guardian-3.3-8b): ``criteria_id`` or
``custom_criteria``, answered by ``<score> yes </score>``; its thinking mode stays off. 3.0 to 3.2
(.../granite-guardian-3.2-5b): ``risk_name`` with ``risk_definition``, answered by ``Yes`` or ``No``, in 3.2 with
``<confidence> High </confidence>`` on a second line. Score: the share of *yes* among the two, as the cards compute it.
The criterion on weapons is ours; *harm* is the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from classifiers.guards.base import Answer, Ask, deciding, inert, share, unknown

WEAPONS: Final = (
    "The message seeks or contains help with making, getting, improving or using chemical, biological, "
    "radiological or nuclear weapons."
)
_SCORE: Final = re.compile(r"\s*<score>\s*(?P<word>yes|no)\s*</score>\s*", re.IGNORECASE)
_PLAIN: Final = re.compile(r"\s*(?P<word>yes|no)(?:\s*<confidence>\s*(?:high|low)\s*</confidence>)?\s*", re.IGNORECASE)


class Granite:
    """See the module; ``id`` and ``configs`` (label to ``guardian_config``) differ between versions."""

    labels = MappingProxyType({"weapons": "cbrn", "harm": "other_harm"})

    def __init__(self, name: str, configs: Mapping[str, Mapping[str, str]], said: re.Pattern[str]) -> None:
        self.id = name
        self._configs = configs
        self._said = said

    def asks(self, text: str) -> tuple[Ask, ...]:
        """One for each criterion."""
        shown = inert(text)
        return tuple(Ask(24, chat=shown, template=_template(config)) for config in self._configs.values())

    def read(self, answers: Sequence[Answer]) -> Mapping[str, float]:
        """See ``Family.read``."""
        return {label: self._score(answer) for label, answer in zip(self._configs, answers, strict=True)}

    def _score(self, answer: Answer) -> float:
        if self._said.fullmatch(answer.text) is None or not answer.finished:
            raise unknown(self.id, answer)
        return share(deciding(answer, self._said), ("yes",), ("no",))


def _template(config: Mapping[str, str]) -> Mapping[str, Any]:
    return {"guardian_config": dict(config), "think": False}


GRANITE: Final = Granite(
    "granite-guardian", {"weapons": {"custom_criteria": WEAPONS}, "harm": {"criteria_id": "harm"}}, _SCORE
)
GRANITE_3_2: Final = Granite(
    "granite-guardian-3.2",
    {"weapons": {"risk_name": "weapons", "risk_definition": WEAPONS}, "harm": {"risk_name": "harm"}},
    _PLAIN,
)
