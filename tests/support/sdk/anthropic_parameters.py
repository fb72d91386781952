"""Anthropic's messages, parameter by parameter: every parameter of the SDK's ``create`` is here or in ``anthropic_calls``."""

from __future__ import annotations

from typing import Any

from gateway.demo.answers import Call, Said
from support.sdk.cases import (
    HELLO,
    MODEL,
    SCREENED,
    WITHOUT,
    WORD,
    WORKS,
    Case,
    by_level,
    case,
    dropped,
    no_route,
    refused,
    saying,
    strict,
)
from support.sdk.openai_parameters import DOT, PATTERN, REGEX, WORDY

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "weather", "input_schema": SCHEMA}
CALLS = saying(
    Said(calls=(Call("weather", ('{"city":', '"Bergen"}')), Call("weather", ('{"city":"Bodø"}',), "call_2")))
)
AT = "tools[0].input_schema.properties.code.pattern"


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Keywords of one user message in blocks."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Keywords of one document."""
    return user({"type": "document", "source": source, **more})


def tooled(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Keywords of one tool with a schema."""
    return {"tools": [{"name": "look", "input_schema": schema, **more}]}


def formed(schema: dict[str, Any]) -> dict[str, Any]:
    """Keywords of an answer in JSON of a schema."""
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def signed(**block: Any) -> dict[str, Any]:
    """Keywords of a conversation whose assistant thought."""
    turn = {"role": "assistant", "content": [block, {"type": "text", "text": "Light."}]}
    return {"messages": [*HELLO, turn, *HELLO]}


def small(ident: str, value: Any, outcome: Any = WORKS, note: str = "") -> Case:
    """A case of one parameter."""
    return case(ident.replace("_", "-"), f"`{ident}`", outcome, note, keywords={ident: value})


def extra(ident: str, value: Any, outcome: Any = WORKS, note: str = "") -> Case:
    """A case of a field that this SDK has no parameter for."""
    sent = None if outcome is not WORKS else (lambda body: _same(body, ident, value))
    name = f"`{ident}`" if outcome is WORKS else "an unknown field"
    return case(f"extra-{ident.replace('_', '-')}", f"`extra_body` with {name}", outcome, note,
                keywords={"extra_body": {ident: value}}, sent=sent or (lambda body: _same(body, ident, None)))  # fmt: skip


MESSAGES = (
    small("system", f"Speak of {WORD}.", SCREENED),
    case("system-blocks", "`system` as blocks, `cache_control` on blocks", SCREENED,
         keywords={"system": [{"type": "text", "text": f"Speak of {WORD}.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}),
    case("turns", "messages in turns, text blocks", SCREENED, keywords={"messages": [
        {"role": "user", "content": f"{WORD}?"},
        {"role": "assistant", "content": f"{WORD}!"},
        {"role": "user", "content": [{"type": "text", "text": f"{WORD}, again", "cache_control": {"type": "ephemeral"}}]},
    ]}),
    case("tool-results", "`tool_use` and `tool_result` sent back", SCREENED, keywords={"tools": [TOOL], "messages": [
        *HELLO,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": WORD, "input": {WORD: WORD}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "is_error": False, "content": [
            {"type": "text", "text": f"It rains in {WORD}."}]}]},
    ]}),
    case("prefill", "last message of the assistant (prefill)", strict(WORKS, by_level("messages[1]")),
         "the client would put words into the model's mouth",
         keywords={"messages": [*HELLO, {"role": "assistant", "content": "Because"}]}),
    case("document", "document, text", SCREENED, keywords=document(
        {"type": "text", "media_type": "text/plain", "data": f"All about {WORD}."}, title=WORD, context=WORD)),
    case("document-blocks", "document, blocks of text", SCREENED, keywords=document(
        {"type": "content", "content": [{"type": "text", "text": WORD}]})),
    case("search-result", "search result", SCREENED, keywords=user(
        {"type": "search_result", "source": WORD, "title": WORD, "content": [{"type": "text", "text": WORD}]})),
    case("document-pdf", "document, PDF", strict(WORKS, by_level("messages[0].content[0].source")), "nothing screens PDFs yet",
         keywords=document({"type": "base64", "media_type": "application/pdf", "data": DOT})),
    case("document-url", "document by URL", refused("messages[0].content[0].source.type"), "what a URL names is not in the request",
         keywords=document({"type": "url", "url": "https://example.org/a.pdf"})),
    case("document-file", "document or image by file id", refused("messages[0].content[0].source.type"), "it is not in the request",
         keywords=document({"type": "file", "file_id": "file_1"})),
    case("citations", "`citations` enabled", refused("messages[0].content[0].citations.enabled"),
         "text beside the channels of an answer",
         keywords=document({"type": "text", "media_type": "text/plain", "data": "a"}, citations={"enabled": True})),
    case("image", "image, base64", strict(WORKS, by_level("messages[0].content[0].source")), "nothing screens images yet",
         keywords=user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DOT}})),
    case("image-url", "image by URL", refused("messages[0].content[0].source.type"), "what a URL names is not in the request",
         keywords=user({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})),
    case("thinking-history", "`thinking` sent back, unsigned", SCREENED,
         keywords=signed(type="thinking", thinking=f"Of {WORD}.", signature="")),
    case("thinking-signed", "`thinking` sent back with its signature", strict(WORKS, by_level("messages[1].content[0].signature")),
         "no view reads a signature", keywords=signed(type="thinking", thinking="Light.", signature="c2lnbmVk")),
    case("thinking-redacted", "`redacted_thinking` sent back", strict(WORKS, by_level("messages[1].content[0].data")),
         "no view reads it", keywords=signed(type="redacted_thinking", data="c2VjcmV0")),
)  # fmt: skip

TOOLS = (
    case("tools", "`tools`, `tool_choice` auto, parallel calls", SCREENED, says=CALLS,
         keywords={**tooled({"type": "object"}, description=f"Looks at {WORD}"), "tool_choice": {"type": "auto"}}),
    case("tools-schema", "every text of a tool's schema", SCREENED, keywords=tooled(WORDY)),
    case("tools-examples", "`input_examples`", SCREENED, keywords=tooled(SCHEMA, input_examples=[{"city": WORD}])),
    case("tools-any", "`tool_choice` any, `disable_parallel_tool_use`", WORKS, says=CALLS,
         keywords={"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}),
    case("tools-none", "`tool_choice` none", WORKS, keywords={"tools": [TOOL], "tool_choice": {"type": "none"}}),
    case("tools-named", "`tool_choice` tool", SCREENED, says=CALLS,
         keywords={"tools": [TOOL], "tool_choice": {"type": "tool", "name": WORD}}),
    case("tools-strict", "`strict` tools, `cache_control` on tools", WORKS, says=CALLS,
         keywords=tooled(SCHEMA, strict=True, cache_control={"type": "ephemeral"})),
    case("tools-pattern", "`pattern` in a tool's schema", SCREENED, keywords=tooled(REGEX)),
    case("tools-strict-pattern", "`pattern` in the schema of a `strict` tool", strict(SCREENED, by_level(AT)), PATTERN,
         keywords=tooled(REGEX, strict=True)),
    case("tools-any-pattern", "`pattern` with `tool_choice` any or tool", strict(SCREENED, by_level(AT)), PATTERN,
         keywords={**tooled(REGEX), "tool_choice": {"type": "any"}}),
    case("tools-server", "tools that a server runs (web search, code execution)", refused("tools[0].type"),
         "the model would read text that the gateway cannot see",
         keywords={"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    case("tools-typed", "typed client tools (bash, text editor)", refused("tools[0].type"), "send them as custom tools",
         keywords={"tools": [{"type": "bash_20250124", "name": "bash"}]}),
)  # fmt: skip

PARAMETERS = (
    case("output-format", "`output_config.format`, every text of the schema", SCREENED,
         says=saying(Said(('{"a":1}',))), keywords=formed(WORDY)),
    case("output-pattern", "`pattern` in an `output_config` schema",
         strict(SCREENED, by_level("output_config.format.schema.properties.code.pattern")), PATTERN, keywords=formed(REGEX)),
    case("effort", "`output_config.effort`", WORKS, keywords={"output_config": {"effort": "low"}}),
    case("thinking", "`thinking` enabled with a budget", WORKS, says=saying(Said(("Light.",), reasoning=("Think.",))),
         keywords={"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}),
    case("thinking-adaptive", "`thinking` adaptive, disabled", WORKS, keywords={"thinking": {"type": "adaptive", "display": "summarized"}}),
    small("stop_sequences", [WORD, "END"], SCREENED),
    case("user-id", "`metadata.user_id`", SCREENED, keywords={"metadata": {"user_id": WORD}}),
    small("service_tier", "auto"),
    small("cache_control", {"type": "ephemeral", "ttl": "5m"}),
    extra("temperature", 0.5),
    extra("top_p", 0.5),
    extra("top_k", 5),
    extra("made_up", 1, dropped("made_up")),
    small("inference_geo", "eu", dropped("inference_geo"), "the model server is where it is"),
    small("speed", "fast", dropped("speed"), "only makes answers faster"),
    small("diagnostics", {"previous_message_id": "msg_1"}, dropped("diagnostics"), "about a cache that tenants share"),
    case("profile", "`user_profile_id`, `workspace_id`", WITHOUT, "headers, not forwarded",
         keywords={"user_profile_id": "u", "workspace_id": "w"}, sent=lambda _: None),
    case("beta-header", "`anthropic-beta` header", WITHOUT, "not forwarded",
         keywords={"extra_headers": {"anthropic-beta": "interleaved-thinking-2025-05-14"}}, sent=lambda _: None),
    small("container", "c1", refused("container"), "what it names is not in the request"),
    case("unknown-model", "a model that is not registered", refused("model", "model_not_found", "NotFoundError", 404),
         keywords={"model": "claude-unknown"}),
)  # fmt: skip


def beta(ident: str, value: Any, outcome: Any, note: str) -> Case:
    """A case of ``beta.messages.create`` with one parameter."""

    def ask(seat: Any, _: str) -> Any:
        return seat.sdk.beta.messages.with_raw_response.create(
            model=MODEL, max_tokens=9, messages=HELLO, **{ident: value}
        )

    return case(f"beta-{ident.replace('_', '-')}", f"`beta.messages.create` with `{ident}`", outcome, note, ask=ask)


BETA = (
    beta("betas", ["interleaved-thinking-2025-05-14"], WITHOUT, "the same as `messages.create`; the header is not forwarded"),
    beta("mcp_servers", [{"type": "url", "url": "https://example.org", "name": "a"}], refused("mcp_servers"),
         "the model would read text that the gateway cannot see"),
    beta("context_management", {"edits": []}, refused("context_management"), "the model would read another conversation than was screened"),
    beta("compaction", {"type": "enabled"}, refused("compaction"), "asks for something else than an answer"),
    beta("thread", {"type": "create"}, refused("thread", error="ThreadUnsupportedRequestError"),
         "the model would read text that the gateway cannot see"),
    beta("fallbacks", "default", dropped("fallbacks"), "only the model asked for answers"),
)  # fmt: skip

ROUTES = tuple(
    case(ident, f"`{feature}`", no_route(), ask=ask)
    for ident, feature, ask in (
        ("batches", "messages.batches.list", lambda seat, _: seat.sdk.messages.batches.list()),
        ("files", "files.list", lambda seat, _: seat.sdk.files.list()),
        ("skills", "skills.list", lambda seat, _: seat.sdk.skills.list()),
    )
)


def _same(body: dict[str, Any], name: str, value: Any) -> None:
    assert body.get(name) == value
