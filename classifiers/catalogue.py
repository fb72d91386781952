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

MODELS: Final = Path(__file__).parent / "models"
CBRN_MINILM_CARD: Final = "9761767decb8ca63e8cbc297bac26e4e427426085b92b612064b58dfa9481af4"


def _cbrn_minilm() -> Classifier:
    return EmbeddedClassifier.from_folder(MODELS / "cbrn-minilm", CBRN_MINILM_CARD)


SHIPPED: Final[Mapping[str, Callable[[], Classifier]]] = MappingProxyType({"cbrn-minilm": _cbrn_minilm})


def create(identifier: str) -> Classifier:
    """A classifier that has not been started. Raises ClassifierUnavailable (no such id) or ClassifierArtefact."""
    try:
        factory = SHIPPED[identifier]
    except KeyError:
        raise ClassifierUnavailable(f"no classifier {identifier!r}; shipped are {', '.join(SHIPPED)}") from None
    return factory()
