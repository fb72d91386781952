"""Builders of what controls judge: exchanges, terms and contexts with harmless defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.controls.base import Context
from gateway.exchange import Caller, Channel, ChannelKey, Direction, Exchange, Leaf, Origin, Piece, Role
from gateway.terms import Group, Hold, Level, OnFailure, RuleSet, Standard, Standing, Terms

CONTENT = ChannelKey(0, Channel.CONTENT)
ROLES: Mapping[Origin, Role] = MappingProxyType(
    {
        Origin.USER: Role.USER,
        Origin.OPERATOR: Role.SYSTEM,
        Origin.MODEL_HISTORY: Role.ASSISTANT,
        Origin.THIRD_PARTY: Role.TOOL,
    }
)


def leaf(text: str, path: str = "messages[0].content", origin: Origin = Origin.USER, *, new: bool = True) -> Leaf:
    """One text of a request."""
    return Leaf(path, text, ROLES[origin], Channel.CONTENT, origin, new)


def exchange(*leaves: Leaf | str) -> Exchange:
    """A request of these leaves; a plain string is a user turn of its own."""
    given = tuple(
        leaf(one, f"messages[{index}].content") if isinstance(one, str) else one for index, one in enumerate(leaves)
    )
    return Exchange("openai.chat", "demo", False, 1, given, MappingProxyType({}))


def group(
    *members: str,
    name: str = "",
    direction: Direction = Direction.INPUT,
    on_failure: OnFailure = OnFailure.REFUSE,
    deadline_ms: int = 2000,
) -> Group:
    """A group, named after its first member unless said otherwise."""
    return Group(name or members[0], Standard.DEPLOYMENT, direction, members, on_failure, deadline_ms)


def terms(
    *groups: Group,
    shadow: Iterable[str] = (),
    standing: Standing = Standing.SERVING,
    thresholds: Iterable[tuple[str, int]] = (),
    budget: int = 1000,
    rules: Iterable[RuleSet] = (),
) -> Terms:
    """ASL-3 terms with these groups."""
    return Terms(
        model="demo",
        level=Level.both(3),
        standing=standing,
        groups=frozenset(groups),
        rule_sets=frozenset(rules),
        thresholds=frozenset(thresholds),
        refused=frozenset(),
        shadow=frozenset(shadow),
        hold=Hold.ADAPTIVE,
        screen_budget=budget,
        snapshots=frozenset({"s"}),
        revision=1,
    )


def context(given: Terms | None = None) -> Context:
    """A context of an anonymous caller."""
    return Context(Caller(), given or terms(), "d-1", 1_790_000_000)


def piece(text: str, start: int = 0, *, final: bool = False, key: ChannelKey = CONTENT) -> Piece:
    """Text of the first choice's content."""
    return Piece(key, start, text, final)


def cut(text: str, size: int, key: ChannelKey = CONTENT) -> list[Piece]:
    """A channel's text in pieces of ``size`` characters; the last is final."""
    starts = range(0, max(len(text), 1), size)
    return [piece(text[start : start + size], start, final=start + size >= len(text), key=key) for start in starts]
