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
from classifiers.guards.files import read_guard
from classifiers.guards.spec import Guard
from classifiers.screeners import ScreenedClassifier

MODELS: Final = Path(__file__).parent / "models"
CBRN_MINILM_CARD: Final = "305ca1b47de18ecd8fda5d84238692761fba6c0b948206f5455ccf2e4325511e"


def _cbrn_minilm(screeners: int) -> Classifier:
    folder = MODELS / "cbrn-minilm"
    if screeners:
        return ScreenedClassifier.from_folder(folder, CBRN_MINILM_CARD, screeners)
    return EmbeddedClassifier.from_folder(folder, CBRN_MINILM_CARD)


SHIPPED: Final[Mapping[str, Callable[[int], Classifier]]] = MappingProxyType({"cbrn-minilm": _cbrn_minilm})


def guarding(guard: Guard) -> Classifier:
    """A guard's classifier that has not been started."""
    if guard.kind == "transformer":
        from classifiers.transformer import TransformerClassifier

        return TransformerClassifier(guard)
    from classifiers.remote import RemoteClassifier

    return RemoteClassifier(guard)


def create(identifier: str, screeners: int = 0) -> Classifier:
    """A classifier that has not been started, over so many processes; 0: over threads of this one.

    ``identifier``: a shipped one, or the path of a guard's file (``.toml``).
    Raises ClassifierUnavailable (no such id) or ClassifierArtefact.
    """
    if identifier.endswith(".toml"):
        return guarding(read_guard(Path(identifier)))
    try:
        factory = SHIPPED[identifier]
    except KeyError:
        raise ClassifierUnavailable(f"no classifier {identifier!r}; shipped are {', '.join(SHIPPED)}") from None
    return factory(screeners)
