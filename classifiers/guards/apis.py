"""Which API a kind of guard speaks: one explicit list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from classifiers.guards.calls import Api
from classifiers.guards.classes import Tei, Triton, VllmClassify, VllmPooling
from classifiers.guards.spec import Guard
from classifiers.guards.words import Words

APIS: Final[Mapping[str, Callable[[Guard], Api]]] = MappingProxyType(
    {"vllm": Words, "vllm_classify": VllmClassify, "vllm_pooling": VllmPooling, "tei": Tei, "triton": Triton}
)


def api(guard: Guard) -> Api:
    """The API of a guard behind a server. Raises KeyError for one that runs here."""
    return APIS[guard.kind](guard)
