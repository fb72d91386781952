"""The families of guard models that can be asked and read: one explicit list."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from classifiers.guards.base import Family
from classifiers.guards.granite import GRANITE, GRANITE_3_2
from classifiers.guards.llama import LlamaGuard
from classifiers.guards.qwen import Qwen3Guard
from classifiers.guards.shieldgemma import ShieldGemma
from classifiers.guards.wildguard import WildGuard

_LISTED: Final[tuple[Family, ...]] = (LlamaGuard(), Qwen3Guard(), ShieldGemma(), GRANITE, GRANITE_3_2, WildGuard())
FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({family.id: family for family in _LISTED})
