"""OpenAI's chat completions, parameter by parameter: every parameter of the SDK's ``create`` is here or in ``openai_calls``."""

from __future__ import annotations

from typing import Any

from gateway.demo.answers import Call, Said
from support.sdk.cases import (
    HELLO,
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

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "weather"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bergen"}'}}
# A word in every place of a schema that can hold one.
WORDY = {
    "type": "object",
    "title": WORD,
    "description": f"Where? {WORD}?",
    "properties": {
        WORD: {"type": "string", "description": WORD, "enum": ["x", WORD]},
        "kind": {"const": WORD},
        "town": {"type": "string", "default": WORD, "examples": [WORD]},
        "part": {"$ref": f"#/$defs/{WORD}"},
        "either": {"anyOf": [{"type": "string", "title": WORD}, {"type": "null"}]},
        "list": {"type": "array", "items": {"$comment": WORD, "x-own": {"deep": [WORD]}}},
    },
    "required": [WORD],
    "$defs": {WORD: {"type": "object", "dependentRequired": {"a": [WORD]}}},
}
REGEX = {"type": "object", "properties": {"code": {"type": "string", "pattern": f"^{WORD}[0-9]+$"}}}
CALLS = saying(
    Said(calls=(Call("weather", ('{"city":', '"Bergen"}')), Call("weather", ('{"city":"Bodø"}',), "call_2")))
)
AT = "tools[0].function.parameters.properties.code.pattern"
PATTERN = "a regular expression forces words that no view reads; at ASL-3 refused where it steers the answer"


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    """Keywords of one user message in parts."""
    return {"messages": [{"role": "user", "content": list(parts)}]}


def formed(schema: dict[str, Any]) -> dict[str, Any]:
    """Keywords of an answer in JSON of a schema."""
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "town", "strict": True, "schema": schema}}
    }


def tooled(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Keywords of one tool with a schema."""
    return {"tools": [{"type": "function", "function": {"name": "look", "parameters": schema, **more}}]}


def small(ident: str, value: Any, outcome: Any = WORKS, note: str = "") -> Case:
    """A case of one parameter."""
    return case(ident.replace("_", "-"), f"`{ident}`", outcome, note, keywords={ident: value})


MESSAGES = (
    case("roles", "messages of every role, `name`", SCREENED, keywords={"messages": [
        {"role": "system", "content": f"Speak of {WORD}."},
        {"role": "developer", "content": f"And of {WORD}."},
        {"role": "user", "content": f"{WORD}?", "name": WORD},
        {"role": "assistant", "content": f"{WORD}!", "name": WORD},
        {"role": "user", "content": [{"type": "text", "text": f"{WORD}, again"}]},
    ]}),
    case("tool-results", "tool calls and tool results sent back", SCREENED, keywords={"tools": [TOOL], "messages": [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": WORD, "arguments": f'{{"city":"{WORD}"}}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": f"It rains in {WORD}."},
    ]}),
    case("refusal-history", "an assistant's `refusal` sent back", SCREENED, keywords={"messages": [
        *HELLO, {"role": "assistant", "refusal": f"Not about {WORD}."}, *HELLO]}),
    case("prefill", "last message of the assistant (prefill)", strict(WORKS, by_level("messages[1]")),
         "the client would put words into the model's mouth",
         keywords={"messages": [*HELLO, {"role": "assistant", "content": "Because"}]}),
    case("image", "image, inline (`data:`)", strict(WORKS, by_level("messages[0].content[0].image_url.url")),
         "nothing screens images yet",
         keywords=user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}", "detail": "low"}})),
    case("image-url", "image by URL", refused("messages[0].content[0].image_url.url"), "what a URL names is not in the request",
         keywords=user({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}})),
    case("audio-in", "audio in (`input_audio`)", strict(WORKS, by_level("messages[0].content[0].input_audio.data")),
         "nothing screens sound yet",
         keywords=user({"type": "input_audio", "input_audio": {"data": DOT, "format": "wav"}})),
    case("file", "file, inline PDF", strict(WORKS, by_level("messages[0].content[0].file.file_data")),
         "nothing screens PDFs yet",
         keywords=user({"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{DOT}"}})),
    case("file-id", "file by id", refused("messages[0].content[0].file.file_id"), "what an id names is not in the request",
         keywords=user({"type": "file", "file": {"file_id": "file-1"}})),
)  # fmt: skip

TOOLS = (
    case("tools", "`tools`, `tool_choice` auto, parallel calls", SCREENED, says=CALLS,
         keywords={**tooled({"type": "object", "properties": {}}, description=f"Looks at {WORD}"), "tool_choice": "auto"}),
    case("tools-schema", "every text of a tool's schema", SCREENED, keywords=tooled(WORDY)),
    case("tools-required", "`tool_choice` required, `parallel_tool_calls`", WORKS, says=CALLS,
         keywords={"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}),
    case("tools-none", "`tool_choice` none", WORKS, keywords={"tools": [TOOL], "tool_choice": "none"}),
    case("tools-named", "`tool_choice` named", SCREENED, says=CALLS, keywords={
        "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": WORD}}}),
    case("tools-strict", "`strict` tools", WORKS, says=CALLS, keywords=tooled(SCHEMA, strict=True)),
    case("tools-pattern", "`pattern` in a tool's schema", SCREENED, keywords=tooled(REGEX)),
    case("tools-strict-pattern", "`pattern` in the schema of a `strict` tool",
         strict(SCREENED, by_level(AT)), PATTERN, keywords=tooled(REGEX, strict=True)),
    case("tools-required-pattern", "`pattern` with `tool_choice` required or named", strict(WORKS, by_level(AT)),
         PATTERN, keywords={**tooled(REGEX), "tool_choice": "required"}),
    case("tools-allowed", "`tool_choice` allowed_tools", refused("tool_choice.allowed_tools"), "send only those tools instead",
         keywords={"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}}),
    case("tools-custom", "`custom` tools", refused("tools[0].type"), "their input is not JSON; send functions",
         keywords={"tools": [{"type": "custom", "custom": {"name": "look"}}]}),
    case("functions", "`functions`, `function_call` (legacy)", refused("function_call"), "send `tools`",
         keywords={"functions": [{"name": "look", "parameters": {}}], "function_call": "auto"}),
)  # fmt: skip

SHAPES = (
    case("json-object", "`response_format` json_object", WORKS, says=saying(Said(('{"a":1}',))),
         keywords={"response_format": {"type": "json_object"}}),
    case("json-schema", "`response_format` json_schema, every text of the schema", SCREENED, says=saying(Said(('{"a":1}',))),
         keywords=formed(WORDY)),
    case("json-schema-pattern", "`pattern` in a `response_format` schema",
         strict(SCREENED, by_level("response_format.json_schema.schema.properties.code.pattern")), PATTERN, keywords=formed(REGEX)),
    case("guided", "`extra_body` with vLLM's `guided_*`", strict(dropped("guided_regex"), by_level("guided_regex")),
         "send `response_format`", keywords={"extra_body": {"guided_regex": "a+"}}, sent=lambda body: _absent(body, "guided_regex")),
)  # fmt: skip

PARAMETERS = (
    case("n", "`n`", WORKS, says=saying(Said(("One.",)), Said(("Two.",))), keywords={"n": 2}),
    small("stop", [WORD, "END"], SCREENED),
    small("user", WORD, SCREENED),
    small("safety_identifier", WORD, SCREENED),
    small("metadata", {WORD: f"to {WORD}"}, SCREENED),
    small("seed", 7),
    small("temperature", 0.5),
    small("top_p", 0.5),
    small("presence_penalty", 0.5),
    small("frequency_penalty", -0.5),
    small("max_tokens", 9),
    small("max_completion_tokens", 9),
    small("reasoning_effort", "low"),
    small("verbosity", "low"),
    small("service_tier", "auto"),
    small("modalities", ["text"]),
    small("logit_bias", {"50256": -100}, strict(WORKS, by_level("logit_bias")), "steers the model word by word, unseen"),
    case("logprobs", "`logprobs`, `top_logprobs`", strict(dropped("logprobs", "top_logprobs"), by_level("logprobs")),
         "the probabilities of other words would leave unscreened; never relayed",
         keywords={"logprobs": True, "top_logprobs": 2}),
    small("store", True, dropped("store"), "nothing is stored"),
    case("store-off", "`store` false", WORKS, "the same, and not worth a name", keywords={"store": False},
         sent=lambda body: _absent(body, "store")),
    small("prediction", {"type": "content", "content": "abc"}, dropped("prediction"), "only makes answers faster"),
    case("prompt-cache", "`prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options`",
         dropped("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"), "steers a cache that tenants share",
         keywords={"prompt_cache_key": "k", "prompt_cache_options": {"mode": "explicit"}, "prompt_cache_retention": "24h"}),
    small("moderation", {"model": "omni-moderation-latest"}, dropped("moderation"), "the level's controls judge instead"),
    case("audio-out", "`audio`, `modalities` with audio", refused("audio"), "an answer in sound cannot be screened",
         keywords={"audio": {"voice": "alloy", "format": "wav"}, "modalities": ["text", "audio"]}),
    small("web_search_options", {}, refused("web_search_options"), "the model would read text that the gateway cannot see"),
    case("extra-known", "`extra_body` with `top_k`, `min_p`, `repetition_penalty`", WORKS,
         keywords={"extra_body": {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}},
         sent=lambda body: _holds(body, top_k=5, min_p=0.1, repetition_penalty=1.1)),
    case("extra-unknown", "`extra_body` with an unknown field", dropped("made_up"),
         keywords={"extra_body": {"made_up": 1}}, sent=lambda body: _absent(body, "made_up")),
    case("extra-template", "`extra_body` with `chat_template_kwargs`", refused("chat_template_kwargs"),
         "changes the text that the model reads", keywords={"extra_body": {"chat_template_kwargs": {"thinking": False}}}),
    case("extra-headers", "`extra_headers`, `extra_query`", WITHOUT, "not forwarded",
         keywords={"extra_headers": {"x-team": "a"}, "extra_query": {"a": "b"}}, sent=lambda _: None),
    case("unknown-model", "a model that is not registered", refused("model", "model_not_found", "NotFoundError", 404),
         keywords={"model": "gpt-unknown"}),
)  # fmt: skip

ROUTES = tuple(
    case(ident, f"`{feature}`", outcome, ask=ask)
    for ident, feature, outcome, ask in (
        ("responses", "responses.create", no_route(), lambda seat, _: seat.sdk.responses.create(model="demo-model", input="Hi")),
        ("completions", "completions.create", no_route(), lambda seat, _: seat.sdk.completions.create(model="demo-model", prompt="Hi")),
        ("embeddings", "embeddings.create", no_route(), lambda seat, _: seat.sdk.embeddings.create(model="demo-model", input="Hi")),
        ("moderations", "moderations.create", no_route(), lambda seat, _: seat.sdk.moderations.create(input="Hi")),
        ("images", "images.generate", no_route(), lambda seat, _: seat.sdk.images.generate(prompt="Hi")),
        ("files", "files.list", no_route(), lambda seat, _: seat.sdk.files.list()),
        ("batches", "batches.list", no_route(), lambda seat, _: seat.sdk.batches.list()),
        ("stored", "chat.completions.retrieve", no_route(), lambda seat, _: seat.sdk.chat.completions.retrieve("chatcmpl-1")),
        ("stored-list", "chat.completions.list", refused(None, "method_not_allowed", "APIStatusError", 405),
         lambda seat, _: seat.sdk.chat.completions.list()),
    )
)  # fmt: skip


def _absent(body: dict[str, Any], *names: str) -> None:
    assert not set(names) & body.keys()


def _holds(body: dict[str, Any], **wanted: Any) -> None:
    assert wanted.items() <= body.items()
