"""The classifiers that ship with the gateway: one explicit list, each with the digest of its card.

The card pins every other file of the folder, so that one digest here covers all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from classifiers.base import Classifier, ClassifierUnavailable
from classifiers.embedded import EmbeddedClassifier
from classifiers.screeners import ScreenedClassifier

MODELS: Final = Path(__file__).parent / "models"
CBRN_MINILM_CARD: Final = "33ee8957854ffbe4e2525c28a175dd09c2c6a8af7a81cfc5ba7a58d990c674ab"


def _cbrn_minilm(screeners: int) -> Classifier:
    folder = MODELS / "cbrn-minilm"
    if screeners:
        return ScreenedClassifier.from_folder(folder, CBRN_MINILM_CARD, screeners)
    return EmbeddedClassifier.from_folder(folder, CBRN_MINILM_CARD)


SHIPPED: Final[Mapping[str, Callable[[int], Classifier]]] = MappingProxyType({"cbrn-minilm": _cbrn_minilm})


def create(identifier: str, screeners: int = 0) -> Classifier:
    """A classifier that has not been started, over so many processes; 0: over threads of this one.

    Raises ClassifierUnavailable (no such id) or ClassifierArtefact.
    """
    try:
        factory = SHIPPED[identifier]
    except KeyError:
        raise ClassifierUnavailable(f"no classifier {identifier!r}; shipped are {', '.join(SHIPPED)}") from None
    return factory(screeners)
