"""The neutral form of one request and its answer: what every dialect is parsed into and encoded from.

Nothing here does I/O and nothing is mutable. A *leaf* is one text of a request; an *answer event* is one step of an answer.
What is made anew with every chunk of a stream is a frozen Struct: made, hashed and compared in C, and nothing for the collector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from msgspec import Struct


class Direction(StrEnum):
    """Which half of an exchange is judged."""

    INPUT = "input"
    OUTPUT = "output"


class Role(StrEnum):
    """Who speaks, in the words that all dialects share."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Channel(StrEnum):
    """What kind of text a leaf or an answer delta is."""

    CONTENT = "content"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    TOOL_CALL = "tool_call"  # the name and arguments of a call made by the model
    TOOL_DEFINITION = "tool_definition"  # names, descriptions and schemas of tools and of structured answers
    PARAMETER = "parameter"  # free text in a parameter: stop sequences, names, end-user ids, metadata


class Origin(StrEnum):
    """Who wrote a text; decides whom it may count against (design rule 3)."""

    OPERATOR = "operator"  # system and developer prompts, tool definitions, parameters
    USER = "user"
    MODEL_HISTORY = "model_history"  # assistant turns as the client sends them back
    THIRD_PARTY = "third_party"  # tool results and documents


class Feature(StrEnum):
    """Something in a request that a profile may refuse; the dialect only reports it."""

    UNKNOWN_FIELD = "unknown_field"  # an unknown top-level field; dropped where the profile does not refuse it
    LOGPROBS = "logprobs"
    LOGIT_BIAS = "logit_bias"
    GRAMMAR = "grammar"  # decoding guided by a regular expression (in a schema too), a grammar or a choice
    PREFILL = "prefill"  # the last turn is an assistant turn that the model continues
    MEDIA = "media"  # inline images, audio, files
    OPAQUE = "opaque"  # signed or encrypted reasoning that no view can read


class Leaf(Struct, frozen=True, gc=False):
    """One text of an exchange. ``path`` is the place in the client's body, such as ``messages[2].content[0].text``."""

    path: str
    text: str
    role: Role
    channel: Channel
    origin: Origin
    new: bool  # new this turn: everything after the last assistant turn, and system and tools always


@dataclass(frozen=True, slots=True)
class Use:
    """A feature that a request uses, and the path of the field that uses it."""

    feature: Feature
    path: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a client's TLS certificate proves, verified against the listener's ``client_ca``. Names are as it has them."""

    fingerprint: str  # "sha256:" and 64 hex digits, over the DER form
    subject: str  # "CN=…,O=…", in the certificate's own order
    issuer: str
    dns: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    @property
    def spiffe(self) -> str:
        """The SPIFFE id, or "": a certificate with another number of URIs than one proves none (SPIFFE's X.509-SVID, section 2)."""
        (uri,) = self.uris if len(self.uris) == 1 else ("",)
        return uri if uri.startswith("spiffe://") else ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``tier`` decides policy; ``id`` is what limits and the ledger count under (a name of ours, never a credential)."""

    id: str = "anonymous"
    tier: str = "anonymous"
    certificate: Certificate | None = None  # evidence only: nothing is decided by it yet


@dataclass(frozen=True, slots=True)
class Exchange:
    """One parsed request. ``body`` is the vetted tree that is serialised to the upstream (``model`` is replaced by the canonical name).

    Every string in ``body`` is a leaf, an enumerated value, or a pattern-checked id; the dialect guarantees it.
    """

    dialect: str
    model: str  # as the client wrote it; resolved by policy
    stream: bool
    choices: int
    leaves: tuple[Leaf, ...]
    body: Mapping[str, Any]
    uses: tuple[Use, ...] = ()
    dropped: tuple[str, ...] = ()  # names of unknown fields, and of copies in messages, that are not in ``body``
    usage_asked: bool = True  # OpenAI streams send usage only when asked for
    size: int = 0  # bytes of the client's body


class ChannelKey(Struct, frozen=True, gc=False, cache_hash=True):
    """One text stream of an answer: a choice, a kind, and for tool calls which one."""

    choice: int
    channel: Channel
    index: int = 0


class FinishReason(StrEnum):
    """Why a choice ended, neutral; dialects translate both ways."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"  # the model's own refusal, as the upstream reported it
    CONTENT_FILTER = "content_filter"  # a filter of the upstream's
    PAUSE = "pause"


class TextDelta(Struct, frozen=True, gc=False):
    """Text added to a channel. For tool calls: a fragment of the JSON arguments."""

    key: ChannelKey
    text: str


class ToolCallStart(Struct, frozen=True, gc=False):
    """A tool call begins: its id (pattern-checked) and its name (screened together with the arguments)."""

    key: ChannelKey
    call_id: str
    name: str


class OpaqueBlock(Struct, frozen=True, gc=False):
    """An opaque value of the upstream's (a thinking signature, redacted thinking). Belongs to the reasoning channel before it."""

    key: ChannelKey
    kind: str  # "signature" or "redacted"
    data: str


class Finish(Struct, frozen=True, gc=False):
    """A choice ended. ``stop_sequence`` is set only when the client asked for that very sequence."""

    choice: int
    reason: FinishReason
    stop_sequence: str | None = None


class Usage(Struct, frozen=True, gc=False):
    """Token counts of the upstream's."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


class AnswerEnd(Struct, frozen=True, gc=False):
    """The upstream ended its answer properly (``[DONE]``, ``message_stop``, or the end of a unary body)."""


AnswerEvent = TextDelta | ToolCallStart | OpaqueBlock | Finish | Usage | AnswerEnd


class Piece(Struct, frozen=True, gc=False):
    """Text added to one channel of an answer. ``start`` is its offset in the channel; pieces of a channel join without gaps.

    ``final``: the channel ends after this piece (which may be empty). Tool calls come whole, as one final piece of decoded text.
    """

    key: ChannelKey
    start: int
    text: str
    final: bool
