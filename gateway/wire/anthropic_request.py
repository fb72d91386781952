"""Parses ``POST /v1/messages``: a client's bytes to an exchange whose body is rebuilt from vetted parts only.

``FIELDS`` is the treatment of every top-level field; what it does not list is dropped and named. ``BLOCKS`` of
``anthropic_content`` is the same for blocks; what that does not list is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.exchange import Channel, Exchange, Feature, Origin, Role, Use
from gateway.wire import strict
from gateway.wire.anthropic_content import ASSISTANT, USER, cache_control, content
from gateway.wire.base import WireLimits
from gateway.wire.node import Found, Node, plain
from gateway.wire.schema import report, schema
from gateway.wire.treatment import Treatment
from gateway.wire.voice import OPERATOR, Voice, leaf, tree, turn_start

DIALECT = "anthropic.messages"
EFFORTS = ("low", "medium", "high", "xhigh", "max")

FIELDS: dict[str, Treatment] = {
    "model": Treatment.ROUTED,
    "messages": Treatment.SCREENED,
    "system": Treatment.SCREENED,
    "tools": Treatment.SCREENED,
    "tool_choice": Treatment.SCREENED,
    "stop_sequences": Treatment.SCREENED,
    "metadata": Treatment.SCREENED,
    "output_config": Treatment.SCREENED,
    "max_tokens": Treatment.INERT,
    "temperature": Treatment.INERT,
    "top_p": Treatment.INERT,
    "top_k": Treatment.INERT,
    "thinking": Treatment.INERT,
    "stream": Treatment.INERT,
    "service_tier": Treatment.INERT,
    "cache_control": Treatment.INERT,
    # Dropping these would change what the request means, and what they name is not in the request, so nobody could screen it.
    "container": Treatment.REFUSED,
    "mcp_servers": Treatment.REFUSED,
    "context_management": Treatment.REFUSED,
    "output_format": Treatment.REFUSED,
    "thread": Treatment.REFUSED,
    "compaction": Treatment.REFUSED,
}

_ALWAYS = frozenset({"max_tokens", "messages"})


def parse(body: bytes, limits: WireLimits, *, counting: bool = False) -> Exchange:
    """Raises BadRequest or TooLarge naming the field at fault. ``counting`` where no answer is asked for, nor its bound."""
    raw = strict.loads(body, limits)
    root = Node(raw, "", Found(limits.leaves))
    root.few(limits.fields)
    for name in raw:
        if FIELDS.get(name) is Treatment.REFUSED and raw[name] is not None:
            raise root.member(name).fault("this field is not supported")
    dropped = tuple(dict.fromkeys(plain(name) for name in raw if name not in FIELDS))
    model = root.member("model")
    if not 0 < len(model.string()) <= 256:
        raise model.fault("must be a name of 1 to 256 characters")
    vetted = _vetted(root, _ALWAYS - {"max_tokens"} if counting else _ALWAYS)
    return Exchange(
        dialect=DIALECT,
        model=model.string(),
        stream=bool(vetted.get("stream", False)),
        choices=1,
        leaves=tuple(root.found.leaves),
        body=vetted,
        uses=(*(Use(Feature.UNKNOWN_FIELD, name) for name in dropped), *root.found.uses),
        dropped=dropped,
        size=len(body),
    )


def _vetted(root: Node, always: frozenset[str]) -> dict[str, Any]:
    """The body without its model; fields that are null and may be absent are left out."""
    for name in sorted(always):
        root.member(name)
    vetted = {
        name: vet(root.member(name))
        for name, vet in _PARTS.items()
        if root.has(name) and (root.get(name) is not None or name in always)
    }
    if vetted.get("tools") and vetted.get("tool_choice", {}).get("type") in {"any", "tool"}:
        _must_call(root.member("tools"))
    return vetted


def _system(node: Node) -> Any:
    return content(node, OPERATOR)


def _messages(node: Node) -> list[dict[str, Any]]:
    items = node.items()
    if not items:
        raise node.fault("must not be empty")
    roles = [item.member("role").choice(USER, ASSISTANT, "system") for item in items]
    if roles[-1] == ASSISTANT:
        items[-1].use(Feature.PREFILL)
    newest = turn_start(roles)
    return [
        _message(item, role, new=place >= newest) for place, (item, role) in enumerate(zip(items, roles, strict=True))
    ]


def _message(node: Node, role: str, *, new: bool) -> dict[str, Any]:
    node.only("role", "content")
    voice = {
        USER: Voice(USER, Role.USER, Origin.USER, new),
        ASSISTANT: Voice(ASSISTANT, Role.ASSISTANT, Origin.MODEL_HISTORY, new),
        "system": OPERATOR,
    }[role]
    return {"role": role, "content": content(node.member("content"), voice)}


def _tools(node: Node) -> list[dict[str, Any]]:
    return [_tool(item) for item in node.items()]


def _tool(node: Node) -> dict[str, Any]:
    """A custom tool. Tools that a server runs would bring in text that is not in the request: refused."""
    out: dict[str, Any] = {}
    if node.get("type") is not None:
        out["type"] = node.member("type").choice("custom", fault="only custom tools are supported")
    node.only("type", "name", "description", "input_schema", "input_examples", "strict", "cache_control",
              "eager_input_streaming", "defer_loading", "allowed_callers")  # fmt: skip
    out["name"] = leaf(node.member("name"), OPERATOR, Channel.TOOL_DEFINITION)
    if node.get("description") is not None:
        out["description"] = leaf(node.member("description"), OPERATOR, Channel.TOOL_DEFINITION)
    out["input_schema"] = schema(node.member("input_schema"), steers=node.get("strict") is True)
    if node.get("input_examples") is not None:
        examples = node.member("input_examples").items()
        out["input_examples"] = [tree(each.object(), OPERATOR, Channel.TOOL_DEFINITION) for each in examples]
    return {**out, **_tool_settings(node)}


def _must_call(tools: Node) -> None:
    """The model must call a tool, so that its server may write the input by the schema, strict or not."""
    for item in tools.items():
        if item.get("strict") is not True:
            report(item.member("input_schema"))


def _tool_settings(node: Node) -> dict[str, Any]:
    out: dict[str, Any] = {
        name: node.member(name).flag() for name in ("strict", "eager_input_streaming") if node.get(name) is not None
    }
    if node.get("defer_loading") is not None and node.member("defer_loading").flag():
        raise node.member("defer_loading").fault("tools that are loaded later are not supported")
    if node.get("allowed_callers") is not None:
        callers = node.member("allowed_callers").items()
        out["allowed_callers"] = [item.choice("direct") for item in callers]
    if node.has("cache_control"):
        out["cache_control"] = cache_control(node.member("cache_control"))
    return out


def _tool_choice(node: Node) -> dict[str, Any]:
    node.only("type", "name", "disable_parallel_tool_use")
    out: dict[str, Any] = {"type": node.member("type").choice("auto", "any", "tool", "none")}
    if out["type"] == "tool":
        out["name"] = leaf(node.member("name"), OPERATOR, Channel.PARAMETER)
    elif node.has("name"):
        raise node.member("name").fault("this field belongs to the type 'tool'")
    if node.has("disable_parallel_tool_use"):
        out["disable_parallel_tool_use"] = node.member("disable_parallel_tool_use").flag()
    return out


def _stop_sequences(node: Node) -> list[str]:
    return [leaf(item, OPERATOR, Channel.PARAMETER) for item in node.items()]


def _metadata(node: Node) -> dict[str, Any]:
    node.only("user_id")
    if node.get("user_id") is None:
        return {}
    return {"user_id": leaf(node.member("user_id"), OPERATOR, Channel.PARAMETER)}


def _thinking(node: Node) -> dict[str, Any]:
    kind = node.member("type").choice("enabled", "disabled", "adaptive", "between_tools")
    out: dict[str, Any] = {"type": kind}
    node.only("type", *{"enabled": ("budget_tokens", "display"), "adaptive": ("display",)}.get(kind, ()))
    if kind == "enabled":
        out["budget_tokens"] = node.member("budget_tokens").integer(1)
    if node.get("display") is not None:
        out["display"] = node.member("display").choice("summarized", "omitted")
    return out


def _output_config(node: Node) -> dict[str, Any]:
    node.only("effort", "format")
    out: dict[str, Any] = {}
    if node.get("effort") is not None:
        out["effort"] = node.member("effort").choice(*EFFORTS)
    if node.get("format") is not None:
        form = node.member("format").only("type", "schema")
        kind = form.member("type").choice("json_schema")
        out["format"] = {"type": kind, "schema": schema(form.member("schema"), steers=True)}
    return out


# In the order of serialisation. ``model`` comes first and is put in by ``request``.
_PARTS: dict[str, Callable[[Node], Any]] = {
    "max_tokens": lambda node: node.integer(1),
    "system": _system,
    "messages": _messages,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "stop_sequences": _stop_sequences,
    "temperature": lambda node: node.number(0, 2),
    "top_p": lambda node: node.number(0, 1),
    "top_k": lambda node: node.integer(0),
    "metadata": _metadata,
    "thinking": _thinking,
    "output_config": _output_config,
    "service_tier": lambda node: node.choice("auto", "standard_only"),
    "cache_control": cache_control,
    "stream": Node.flag,
}
