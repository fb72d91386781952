"""Parses ``POST /v1/chat/completions``: a client's bytes to an exchange whose body is rebuilt from vetted parts only.

``FIELDS`` is the treatment of every top-level field; what it does not list is dropped and named. Inside of messages and tools nothing is
dropped silently: what is not known is refused by its path, since leaving it out would change what the client meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.exchange import Channel, Exchange, Feature, Origin, Role, Use
from gateway.wire import strict
from gateway.wire.anthropic_content import Treatment, Voice, leaf, tree
from gateway.wire.anthropic_node import Found, Node
from gateway.wire.base import WireLimits

DIALECT = "openai.chat"
ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
MEDIA_URL = re.compile(r"data:(?:image/(?:jpeg|png|gif|webp)|application/pdf);base64,[A-Za-z0-9+/]*={0,2}")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
TOKEN = re.compile(r"[0-9]{1,9}")
OPERATOR = Voice("system", Role.SYSTEM, Origin.OPERATOR, new=True)
PARAMETER = Channel.PARAMETER

SCREENED = ("messages", "tools", "tool_choice", "response_format", "stop", "user", "safety_identifier", "metadata")
INERT = (
    "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "presence_penalty",
    "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "parallel_tool_calls", "reasoning_effort", "verbosity", "top_k",
    "min_p", "repetition_penalty", "ignore_eos", "min_tokens",
)  # fmt: skip
# Dropping these would change what the request means, and most carry text or state that nobody here could screen.
REFUSED = (
    "functions", "function_call", "modalities", "audio", "prediction", "web_search_options", "chat_template", "chat_template_kwargs",
    "continue_final_message", "add_generation_prompt", "documents", "prompt_embeds", "prompt", "prompt_token_ids", "messages_token_ids",
    "mm_processor_kwargs", "media_io_kwargs", "vllm_xargs", "kv_transfer_params", "logits_processors", "bad_words", "echo",
    "skip_special_tokens", "include_stop_str_in_output", "allowed_token_ids", "stop_token_ids", "return_tokens_as_token_ids",
    "prompt_logprobs", "add_special_tokens", "guided_decoding_backend", "structural_tag", "grammar", "json_schema",
)  # fmt: skip
GRAMMARS = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs")
FIELDS: dict[str, Treatment] = {
    "model": Treatment.ROUTED,
    **dict.fromkeys(SCREENED, Treatment.SCREENED),
    **dict.fromkeys(INERT, Treatment.INERT),
    **dict.fromkeys(REFUSED, Treatment.REFUSED),
}
ROLES = {
    "system": (Role.SYSTEM, Origin.OPERATOR),
    "developer": (Role.DEVELOPER, Origin.OPERATOR),
    "user": (Role.USER, Origin.USER),
    "assistant": (Role.ASSISTANT, Origin.MODEL_HISTORY),
    "tool": (Role.TOOL, Origin.THIRD_PARTY),
    "function": (Role.TOOL, Origin.THIRD_PARTY),
}
KEYS = {
    "assistant": ("role", "content", "name", "refusal", "tool_calls", "reasoning_content", "reasoning"),
    "tool": ("role", "content", "tool_call_id", "name"),
}


def parse(body: bytes, limits: WireLimits) -> Exchange:
    """Raises BadRequest or TooLarge naming the field at fault."""
    raw = strict.loads(body, limits)
    root = Node(raw, "", Found(limits.leaves))
    for name in raw:
        if FIELDS.get(name) is Treatment.REFUSED and raw[name] is not None:
            raise root.member(name).fault("this field is not supported")
    dropped = tuple(name for name in raw if name not in FIELDS)
    model = root.member("model")
    if not 0 < len(model.string()) <= 256:
        raise model.fault("must be a name of 1 to 256 characters")
    root.member("messages")
    vetted = {name: vet(root.member(name)) for name, vet in PARTS.items() if raw.get(name) is not None}
    choices = vetted.get("n", 1)
    if choices > limits.choices:
        raise root.member("n").fault(f"must be at most {limits.choices}")
    options = vetted.pop("stream_options", {})
    stream = bool(vetted.get("stream", False))
    return Exchange(
        dialect=DIALECT,
        model=model.string(),
        stream=stream,
        choices=choices,
        leaves=tuple(root.found.leaves),
        body=vetted,
        uses=(*(Use(_dropped_feature(name), name) for name in dropped), *root.found.uses),
        dropped=dropped,
        usage_asked=bool(options.get("include_usage", False)) if stream else True,
        size=len(body),
    )


def request(exchange: Exchange, model: str) -> bytes:
    """Our serialisation; streams always ask for usage, since the ledger wants it even where the client does not."""
    body: dict[str, Any] = {"model": model, **exchange.body}
    if exchange.stream:
        body["stream_options"] = {"include_usage": True}
    return strict.dumps(body)


def _dropped_feature(name: str) -> Feature:
    return Feature.GRAMMAR if name in GRAMMARS else Feature.UNKNOWN_FIELD


def _messages(node: Node) -> list[dict[str, Any]]:
    items = node.items()
    if not items:
        raise node.fault("must not be empty")
    roles = [item.member("role").choice(*ROLES) for item in items]
    if roles[-1] == "assistant":
        items[-1].use(Feature.PREFILL)
    newest = _newest(roles)
    return [
        _message(item, role, new=place >= newest) for place, (item, role) in enumerate(zip(items, roles, strict=True))
    ]


def _newest(roles: list[str]) -> int:
    """The first message of this turn. A prefill is part of this turn: it must not make the user's words before it look old."""
    end = len(roles)
    while end and roles[end - 1] == "assistant":
        end -= 1
    while end and roles[end - 1] != "assistant":
        end -= 1
    return end


def _message(node: Node, kind: str, *, new: bool) -> dict[str, Any]:
    role, origin = ROLES[kind]
    voice = Voice(kind, role, origin, new or origin is Origin.OPERATOR)
    node.only(*KEYS.get(kind, ("role", "content", "name")))
    out: dict[str, Any] = {"role": kind}
    if kind == "assistant":
        out |= _assistant(node, voice)
    elif kind == "tool":
        out["tool_call_id"] = node.member("tool_call_id").match(ID, "an id")
    if node.get("content") is not None or kind != "assistant":
        out["content"] = _content(node.member("content"), voice)
    if node.get("name") is not None:
        out["name"] = leaf(node.member("name"), voice, PARAMETER)
    if kind == "assistant" and "content" not in out:
        if "tool_calls" not in out and "refusal" not in out:
            raise node.fault("an assistant message needs content, refusal or tool_calls")
        out["content"] = None
    return out


def _assistant(node: Node, voice: Voice) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if node.get("refusal") is not None:
        out["refusal"] = leaf(node.member("refusal"), voice, Channel.REFUSAL)
    for name in ("reasoning_content", "reasoning"):
        if node.get(name) is not None:
            out[name] = leaf(node.member(name), voice, Channel.REASONING)
    if node.get("tool_calls") is not None:
        out["tool_calls"] = [_tool_call(item, voice) for item in node.member("tool_calls").items()]
    return out


def _tool_call(node: Node, voice: Voice) -> dict[str, Any]:
    """A call in history. Its arguments are a string of JSON: screened as it stands, and once more decoded, as the model reads it."""
    node.only("id", "type", "function")
    out: dict[str, Any] = {"id": node.member("id").match(ID, "an id"), "type": "function"}
    if node.get("type") is not None:
        node.member("type").choice("function", fault="only function calls are supported")
    function = node.member("function").only("name", "arguments")
    arguments = function.member("arguments")
    out["function"] = {
        "name": leaf(function.member("name"), voice, Channel.TOOL_CALL),
        "arguments": leaf(arguments, voice, Channel.TOOL_CALL),
    }
    try:
        decoded = msgspec.json.decode(arguments.string())
    except (msgspec.MsgspecError, RecursionError):
        return out
    tree(Node(decoded, f"{arguments.path}~json", arguments.found), voice, Channel.TOOL_CALL)
    return out


def _content(node: Node, voice: Voice) -> Any:
    if isinstance(node.value, str):
        return leaf(node, voice)
    return [_part(item, voice) for item in node.items("a string or a list of parts")]


def _part(node: Node, voice: Voice) -> dict[str, Any]:
    given = node.member("type")
    kind = given.choice(*PART_TYPES, fault="this type of part is not supported")
    if voice.place not in PART_PLACES.get(kind, frozenset(ROLES)):
        raise given.fault(f"a part of this type has no place in a {voice.place} message")
    return {"type": kind, **PART_TYPES[kind](node, voice)}


def _text(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "text")
    return {"text": leaf(node.member("text"), voice)}


def _refusal(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "refusal")
    return {"refusal": leaf(node.member("refusal"), voice, Channel.REFUSAL)}


def _image(node: Node, _: Voice) -> dict[str, Any]:
    node.only("type", "image_url")
    image = node.member("image_url").only("url", "detail")
    out = {
        "url": image.member("url").match(
            MEDIA_URL, "an inline data: URL of a supported type; remote URLs are not fetched"
        )
    }
    if image.get("detail") is not None:
        out["detail"] = image.member("detail").choice("auto", "low", "high", "original")
    node.use(Feature.MEDIA)
    return {"image_url": out}


def _audio(node: Node, _: Voice) -> dict[str, Any]:
    node.only("type", "input_audio")
    audio = node.member("input_audio").only("data", "format")
    node.use(Feature.MEDIA)
    return {
        "input_audio": {
            "data": audio.member("data").match(BASE64, "base64"),
            "format": audio.member("format").choice("wav", "mp3"),
        }
    }


def _file(node: Node, voice: Voice) -> dict[str, Any]:
    node.only("type", "file")
    file = node.member("file").only("file_data", "filename")
    node.use(Feature.MEDIA)
    out = {"file_data": file.member("file_data").match(MEDIA_URL, "an inline data: URL of a supported type")}
    if file.get("filename") is not None:
        out["filename"] = leaf(file.member("filename"), voice, PARAMETER)
    return {"file": out}


PART_TYPES: dict[str, Callable[[Node, Voice], dict[str, Any]]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}
PART_PLACES = {
    "refusal": frozenset({"assistant"}),
    "image_url": frozenset({"user"}),
    "input_audio": frozenset({"user"}),
    "file": frozenset({"user"}),
}


def _tools(node: Node) -> list[dict[str, Any]]:
    return [_tool(item) for item in node.items()]


def _tool(node: Node) -> dict[str, Any]:
    node.member("type").choice("function", fault="only function tools are supported")
    node.only("type", "function")
    return {"type": "function", "function": _function(node.member("function"))}


def _function(node: Node) -> dict[str, Any]:
    node.only("name", "description", "parameters", "strict")
    out: dict[str, Any] = {"name": leaf(node.member("name"), OPERATOR, Channel.TOOL_DEFINITION)}
    if node.get("description") is not None:
        out["description"] = leaf(node.member("description"), OPERATOR, Channel.TOOL_DEFINITION)
    if node.get("parameters") is not None:
        out["parameters"] = tree(node.member("parameters").object(), OPERATOR, Channel.TOOL_DEFINITION)
    if node.get("strict") is not None:
        out["strict"] = node.member("strict").flag()
    return out


def _tool_choice(node: Node) -> Any:
    if isinstance(node.value, str):
        return node.choice("none", "auto", "required")
    node.only("type", "function").member("type").choice("function", fault="only a function can be chosen")
    function = node.member("function").only("name")
    return {"type": "function", "function": {"name": leaf(function.member("name"), OPERATOR, PARAMETER)}}


def _response_format(node: Node) -> dict[str, Any]:
    kind = node.member("type").choice("text", "json_object", "json_schema")
    node.only("type", *(("json_schema",) if kind == "json_schema" else ()))
    if kind != "json_schema":
        return {"type": kind}
    schema = node.member("json_schema").only("name", "description", "schema", "strict")
    out: dict[str, Any] = {"name": leaf(schema.member("name"), OPERATOR, Channel.TOOL_DEFINITION)}
    if schema.get("description") is not None:
        out["description"] = leaf(schema.member("description"), OPERATOR, Channel.TOOL_DEFINITION)
    if schema.get("schema") is not None:
        out["schema"] = tree(schema.member("schema").object(), OPERATOR, Channel.TOOL_DEFINITION)
    if schema.get("strict") is not None:
        out["strict"] = schema.member("strict").flag()
    return {"type": kind, "json_schema": out}


def _stop(node: Node) -> Any:
    if isinstance(node.value, str):
        return leaf(node, OPERATOR, PARAMETER)
    return [leaf(item, OPERATOR, PARAMETER) for item in node.items("a string or a list of strings")]


def _parameter(node: Node) -> str:
    return leaf(node, OPERATOR, PARAMETER)


def _metadata(node: Node) -> Any:
    return tree(node.object(), OPERATOR, PARAMETER)


def _stream_options(node: Node) -> dict[str, Any]:
    node.only("include_usage", "include_obfuscation", "continuous_usage_stats")
    return {name: node.member(name).flag() for name in node.value if node.get(name) is not None}


def _logprobs(node: Node) -> bool:
    if node.flag():
        node.use(Feature.LOGPROBS)
    return bool(node.value)


def _top_logprobs(node: Node) -> int:
    node.use(Feature.LOGPROBS)
    return node.integer(0, 20)


def _logit_bias(node: Node) -> dict[str, float]:
    if node.object().value:
        node.use(Feature.LOGIT_BIAS)
    for name in node.value:
        if TOKEN.fullmatch(name) is None:
            raise node.fault("its keys must be token ids")
    return {name: node.member(name).number(-100, 100) for name in node.value}


# In the order of serialisation. ``model`` comes first and is put in by ``request``.
PARTS: dict[str, Callable[[Node], Any]] = {
    "messages": _messages,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "stop": _stop,
    "user": _parameter,
    "safety_identifier": _parameter,
    "metadata": _metadata,
    "n": lambda node: node.integer(1, 128),
    "max_tokens": lambda node: node.integer(0),
    "max_completion_tokens": lambda node: node.integer(0),
    "min_tokens": lambda node: node.integer(0),
    "temperature": lambda node: node.number(0, 2),
    "top_p": lambda node: node.number(0, 1),
    "top_k": lambda node: node.integer(-1),
    "min_p": lambda node: node.number(0, 1),
    "seed": lambda node: node.integer(-(2**53), 2**53),
    "presence_penalty": lambda node: node.number(-2, 2),
    "frequency_penalty": lambda node: node.number(-2, 2),
    "repetition_penalty": lambda node: node.number(0, 10),
    "ignore_eos": Node.flag,
    "logprobs": _logprobs,
    "top_logprobs": _top_logprobs,
    "logit_bias": _logit_bias,
    "parallel_tool_calls": Node.flag,
    "reasoning_effort": lambda node: node.choice("none", "minimal", "low", "medium", "high", "xhigh"),
    "verbosity": lambda node: node.choice("low", "medium", "high"),
    "stream": Node.flag,
    "stream_options": _stream_options,
}
