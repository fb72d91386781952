"""Parses ``POST /v1/chat/completions``: a client's bytes to an exchange whose body is rebuilt from vetted parts only.

``FIELDS`` is the treatment of every top-level field, in the order of serialisation; what it does not list is dropped and named.
A field that is null counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.exchange import Channel, Exchange, Feature, Use
from gateway.wire import strict
from gateway.wire.base import WireLimits
from gateway.wire.node import Found, Node, plain
from gateway.wire.openai_messages import messages
from gateway.wire.openai_tools import must_call, response_format, tool_choice, tools
from gateway.wire.treatment import Treatment
from gateway.wire.voice import OPERATOR, leaf, tree

DIALECT = "openai.chat"
GRAMMARS = (
    "guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend", "guided_whitespace_pattern",
    "structured_outputs", "structural_tag", "grammar", "json_schema",
)  # fmt: skip
_TOKEN = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class Field:
    """One top-level field. ``vet`` gives what is sent on, None for nothing; ``note`` is for the docs."""

    treatment: Treatment
    note: str = ""
    vet: Callable[[Node], Any] | None = None


def _screened(vet: Callable[[Node], Any], note: str = "") -> Field:
    return Field(Treatment.SCREENED, note, vet)


def _inert(vet: Callable[[Node], Any], note: str = "") -> Field:
    return Field(Treatment.INERT, note, vet)


def _numbers(low: float, high: float) -> Field:
    return _inert(lambda node: node.number(low, high), f"{low:g} to {high:g}")


def _integers(low: int, high: int = 2**31 - 1) -> Field:
    return _inert(lambda node: node.integer(low, high), f"{low} to {high}")


def _enumerated(*values: str) -> Field:
    return _inert(lambda node: node.choice(*values), ", ".join(values))


def _refused(note: str) -> Field:
    return Field(Treatment.REFUSED, note)


def _word(node: Node) -> str:
    return leaf(node, OPERATOR, Channel.PARAMETER)


def _stop(node: Node) -> Any:
    if isinstance(node.value, str):
        return _word(node)
    return [_word(item) for item in node.items("a string or a list of strings")]


def _metadata(node: Node) -> dict[str, Any]:
    for key, value in node.object().value.items():
        if not isinstance(value, str):
            raise node.member(key).fault("must be a string") if plain(key) == key else node.fault("must hold strings")
    metadata: dict[str, Any] = tree(node, OPERATOR, Channel.PARAMETER)
    return metadata


def _logit_bias(node: Node) -> dict[str, Any]:
    node.use(Feature.LOGIT_BIAS)
    for token in node.object().value:
        if _TOKEN.fullmatch(token) is None:
            raise node.fault("its keys must be token ids")
    return {token: node.member(token).number(-100, 100) for token in node.value}


def _logprobs(node: Node) -> None:
    if node.flag():
        node.use(Feature.LOGPROBS)


def _top_logprobs(node: Node) -> None:
    if node.integer(0, 20):
        node.use(Feature.LOGPROBS)


def _unsent_flag(node: Node) -> None:
    node.flag()


def _prompt_logprobs(node: Node) -> None:
    """vLLM's; -1 asks for the whole vocabulary."""
    node.integer(-1)
    node.use(Feature.LOGPROBS)


def _modalities(node: Node) -> list[str]:
    return [item.choice("text", fault="only the modality 'text' is supported") for item in node.items()]


def _stream_options(node: Node) -> None:
    node.only("include_usage", "include_obfuscation")
    for name in node.value:
        if node.given(name):
            node.member(name).flag()


_HIDDEN = "text that the gateway cannot see in place"
_TEMPLATE = "changes the text that the model reads"
_LEGACY = "answers in the legacy shape; send tools instead"
_LOGPROBS = "as logprobs, which a profile may refuse; else dropped, since they are never relayed"
_GRAMMAR = "reported as grammar, which a profile may refuse; schemas are taken in response_format"
_REGEX = "a regular expression in a schema that steers the answer is reported as grammar"
_SEARCH = "steers the search for an answer, not what is asked"
_CACHE = "steers a cache that tenants share"
_TOKENS = "works on tokens, which nobody can screen"

FIELDS: dict[str, Field] = {
    "model": Field(Treatment.ROUTED, "replaced by the canonical name"),
    "messages": _screened(messages),
    "tools": _screened(tools, f"functions only; {_REGEX}"),
    "tool_choice": _screened(tool_choice),
    "response_format": _screened(response_format, f"text, json_object, json_schema; {_REGEX}"),
    "stop": _screened(_stop),
    "user": _screened(_word),
    "safety_identifier": _screened(_word),
    "metadata": _screened(_metadata, "strings only"),
    "n": _inert(lambda node: node.integer(1), "1 to the limit of choices"),
    "max_tokens": _integers(1),
    "max_completion_tokens": _integers(1),
    "min_tokens": _integers(0),
    "ignore_eos": _inert(Node.flag),
    "temperature": _numbers(0, 2),
    "top_p": _numbers(0, 1),
    "top_k": _integers(-1),
    "min_p": _numbers(0, 1),
    "seed": _integers(-(2**53), 2**53),
    "presence_penalty": _numbers(-2, 2),
    "frequency_penalty": _numbers(-2, 2),
    "repetition_penalty": _numbers(0, 10),
    "logit_bias": Field(Treatment.REPORTED, "as logit_bias, which a profile may refuse; else sent on", _logit_bias),
    "parallel_tool_calls": _inert(Node.flag),
    "reasoning_effort": _enumerated("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": _enumerated("low", "medium", "high"),
    "service_tier": _enumerated("auto", "default", "flex", "scale", "priority"),
    "modalities": _inert(_modalities, "text only"),
    "stream": _inert(Node.flag),
    "stream_options": Field(
        Treatment.ROUTED, "usage is always asked for, and relayed when the client asked", _stream_options
    ),
    "store": Field(Treatment.ROUTED, "never sent on: nothing is stored; true is named as dropped", _unsent_flag),
    "logprobs": Field(Treatment.REPORTED, _LOGPROBS, _logprobs),
    "top_logprobs": Field(Treatment.REPORTED, _LOGPROBS, _top_logprobs),
    "prompt_logprobs": Field(Treatment.REPORTED, _LOGPROBS, _prompt_logprobs),
    "functions": _refused(_LEGACY),
    "function_call": _refused(_LEGACY),
    "audio": _refused("an answer in sound cannot be screened"),
    "web_search_options": _refused(_HIDDEN),
    "documents": _refused(_HIDDEN),
    "previous_response_id": _refused(_HIDDEN),
    "conversation": _refused(_HIDDEN),
    "prompt": _refused("belongs to /v1/completions"),
    "prompt_embeds": _refused(_TOKENS),
    "prompt_token_ids": _refused(_TOKENS),
    "allowed_token_ids": _refused(_TOKENS),
    "stop_token_ids": _refused(_TOKENS),
    "bad_words": _refused(_TOKENS),
    "logits_processors": _refused(_TOKENS),
    "chat_template": _refused(_TEMPLATE),
    "chat_template_kwargs": _refused(_TEMPLATE),
    "add_generation_prompt": _refused(_TEMPLATE),
    "continue_final_message": _refused(_TEMPLATE),
    "add_special_tokens": _refused(_TEMPLATE),
    "truncate_prompt_tokens": _refused(_TEMPLATE),
    "mm_processor_kwargs": _refused(_TEMPLATE),
    "media_io_kwargs": _refused(_TEMPLATE),
    "skip_special_tokens": _refused("changes the text of the answer"),
    "include_stop_str_in_output": _refused("changes the text of the answer"),
    "echo": _refused("the prompt would leave as an answer"),
    "lora": _refused("another model than the one assessed"),
    "vllm_xargs": _refused("settings of a server's extensions"),
    "kv_transfer_params": _refused("settings of a server's extensions"),
}

_VETS = tuple((name, field.vet) for name, field in FIELDS.items() if field.vet is not None)
# Known fields that are never sent on; named as dropped where they ask for something.
_UNSENT = frozenset({"store", "logprobs", "top_logprobs", "prompt_logprobs"})

# Known fields that go the way of unknown ones, each with the reason: for the docs.
DROPPED: dict[str, str] = {
    "prediction": "only makes answers faster",
    "prompt_cache_key": _CACHE,
    "prompt_cache_retention": _CACHE,
    "cache_salt": _CACHE,
    "best_of": _SEARCH,
    "use_beam_search": _SEARCH,
    "length_penalty": _SEARCH,
    "return_token_ids": "token ids are never relayed",
    "return_tokens_as_token_ids": "token ids are never relayed",
    "priority": "steers a queue that callers share",
    **dict.fromkeys(GRAMMARS, _GRAMMAR),
}


def parse(body: bytes, limits: WireLimits) -> Exchange:
    """Raises BadRequest or TooLarge naming the field at fault."""
    raw = strict.loads(body, limits)
    root = Node(raw, "", Found(limits.leaves))
    root.few(limits.fields)
    _refuse(root)
    model = root.member("model")
    if not 0 < len(model.string()) <= 256:
        raise model.fault("must be a name of 1 to 256 characters")
    root.member("messages").items()
    if root.given("n"):
        root.member("n").integer(1, limits.choices)
    vetted = _vetted(root)
    stream = bool(vetted.get("stream", False))
    unknown = tuple(dict.fromkeys(plain(name) for name in raw if name not in FIELDS and raw[name] is not None))
    unsent = (name for name in raw if name in _UNSENT and raw[name] is not None and raw[name] is not False)
    return Exchange(
        dialect=DIALECT,
        model=model.string(),
        stream=stream,
        choices=vetted.get("n", 1),
        leaves=tuple(root.found.leaves),
        body=vetted,
        uses=(*(Use(_dropped_feature(name), name) for name in unknown), *root.found.uses),
        dropped=tuple(dict.fromkeys((*unknown, *unsent, *root.found.dropped))),
        usage_asked=not stream or bool((raw.get("stream_options") or {}).get("include_usage")),
        size=len(body),
    )


def _dropped_feature(name: str) -> Feature:
    return Feature.GRAMMAR if name in GRAMMARS else Feature.UNKNOWN_FIELD


def _refuse(root: Node) -> None:
    for name in root.value:
        field = FIELDS.get(name)
        if field is not None and field.treatment is Treatment.REFUSED and root.given(name):
            raise root.member(name).fault("this field is not supported")


def _vetted(root: Node) -> dict[str, Any]:
    """The body without its model."""
    out: dict[str, Any] = {}
    raw = root.value
    for name, vet in _VETS:
        if raw.get(name) is not None:
            value = vet(root.member(name))
            if value is not None:
                out[name] = value
    if out.get("tools") and out.get("tool_choice", "auto") not in ("auto", "none"):
        must_call(root.member("tools"))
    if out.get("stream"):
        out["stream_options"] = {"include_usage": True}  # for our own records; the writer keeps it from who did not ask
    elif root.given("stream_options"):
        raise root.member("stream_options").fault("belongs to streams only")
    return out
