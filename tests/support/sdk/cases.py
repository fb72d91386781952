"""The shape of a case: what an application does with its SDK, and what comes of it at each level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.demo.answers import Said
from gateway.demo.scripted import Handler, Script, ScriptedUpstream
from support.loops import speaks

WORD = "Oslo"  # stands in a case wherever a text of the application's stands
CANARY = "amber kestrel protocol"  # a rule of the tests blocks it, in prompts and in answers
HELLO = [{"role": "user", "content": "In one sentence: why is the sky blue?"}]
MODEL = "demo-model"
LEVELS = (1, 2, 3)


class Kind(StrEnum):
    """What comes of a feature."""

    WORKS = "works"
    SCREENED = "works, screened"
    WITHOUT = "works without"
    DROPPED = "dropped"
    REFUSED = "refused"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a case at one level. ``error`` is the SDK's exception; ``forwarded`` when the model server was asked."""

    kind: Kind
    dropped: tuple[str, ...] = ()
    error: str = ""
    status: int = 0
    code: str | None = None
    param: str | None = None


WORKS = Outcome(Kind.WORKS)
SCREENED = Outcome(Kind.SCREENED)
WITHOUT = Outcome(Kind.WITHOUT)
BLOCKED = Outcome(Kind.BLOCKED)


def dropped(*names: str) -> Outcome:
    """The call works; these parameters are left out and named in ``x-asl-dropped``."""
    return Outcome(Kind.DROPPED, dropped=names)


def refused(
    param: str | None, code: str | None = "invalid_request", error: str = "BadRequestError", status: int = 400
) -> Outcome:
    """The SDK raises, after one attempt, and the model server sees nothing."""
    return Outcome(Kind.REFUSED, error=error, status=status, code=code, param=param)


def by_level(param: str) -> Outcome:
    """Refused since the level says so."""
    return refused(param, "unsupported_parameter")


def no_route() -> Outcome:
    """Refused since there is no such route here."""
    return refused(None, "unknown_route", "NotFoundError", 404)


@dataclass(slots=True)
class Seat:
    """Where an application sits: its SDK in front of one gateway, and the model server behind. ``attempts`` are paths asked for, where
    the SDK lets us see them."""

    sdk: Any
    base: str
    upstream: ScriptedUpstream
    attempts: list[str] | None = None
    refused: Callable[[], None] | None = None  # called when the gateway says 503
    asked: Callable[[], int] = lambda: 0  # exchanges that the gateway has concluded

    @property
    def sent(self) -> int:
        """Requests that the model server has got."""
        return len(self.upstream.requests)


def hello() -> Handler:
    """The model server says hello."""
    return speaks(Said(("Hello ", "there.")))


def saying(*said: Said) -> Callable[[], Handler]:
    """The model server says this."""
    return lambda: speaks(*said)


def first(script: Script, then: Callable[[], Handler] = hello) -> Callable[[], Handler]:
    """The model server plays a script once, and then answers."""

    def make() -> Handler:
        scripts = [script]
        rest = then()
        return lambda request: scripts.pop() if scripts else rest(request)

    return make


@dataclass(frozen=True, slots=True)
class Case:
    """One feature. Without ``ask`` it is a ``create`` with these keywords, which must reach the model server as they are.

    ``ask`` does what the application does and asserts what it gets; it returns the SDK's answer, or raises the SDK's error.
    Where the outcome is *screened*, it is asked again with the canary in each place where ``WORD`` stood, and must be blocked.
    """

    id: str
    feature: str
    at: tuple[Outcome, Outcome, Outcome]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    ask: Callable[[Seat, str], Any] | None = None
    says: Callable[[], Handler] = hello
    sent: Callable[[dict[str, Any]], None] | None = None
    note: str = ""
    attempts: int = 1
    blocked: Callable[[Callable[[], Any]], None] | None = (
        None  # where a block looks otherwise than everywhere else in the SDK
    )
    params: tuple[str, ...] = ()  # parameters of the SDK that this case is about, beside its keywords


def everywhere(outcome: Outcome) -> tuple[Outcome, Outcome, Outcome]:
    """The same at each level."""
    return (outcome, outcome, outcome)


def strict(outcome: Outcome, refusal: Outcome) -> tuple[Outcome, Outcome, Outcome]:
    """Refused at ASL-3 alone."""
    return (outcome, outcome, refusal)


def case(ident: str, feature: str, at: Any, note: str = "", **more: Any) -> Case:
    """A case of keywords, which are named ``keywords``, or of an ``ask``."""
    return Case(ident, feature, at if isinstance(at, tuple) else everywhere(at), note=note, **more)


def variants(keywords: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The keywords with the canary in one place after the other."""
    for place in range(_count(keywords)):
        yield _put(keywords, [place])


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_count(item) + key.count(WORD) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_count, value))
    return value.count(WORD) if isinstance(value, str) else 0


def _put(value: Any, left: list[int]) -> Any:
    if isinstance(value, Mapping):
        return {_put(key, left): _put(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_put(item, left) for item in value]
    if not isinstance(value, str):
        return value
    found = value.count(WORD)
    left[0] -= found
    return value.replace(WORD, CANARY) if -found <= left[0] < 0 else value


def renamed(one: Case, **more: Any) -> Case:
    """The same case with something else."""
    return replace(one, **more)
