"""Messages of OpenAI chat: who speaks, what is new, and what is inside of tool calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.exchange import Channel, Feature, Leaf, Origin, Role, Use
from gateway.wire.node import Found, Node
from gateway.wire.openai_messages import ID, ROLES, messages, strings_inside

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def at(*given_: Any) -> Node:
    return Node(list(given_), "messages", Found(1000))


def user(content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def refused(*given_: Any) -> str | None:
    """The path that messages are refused by."""
    with pytest.raises(BadRequest) as caught:
        messages(at(*given_))
    return caught.value.param


SPEAKERS = [
    ("system", Role.SYSTEM, Origin.OPERATOR),
    ("developer", Role.DEVELOPER, Origin.OPERATOR),
    ("user", Role.USER, Origin.USER),
    ("assistant", Role.ASSISTANT, Origin.MODEL_HISTORY),
    ("tool", Role.TOOL, Origin.THIRD_PARTY),
    ("function", Role.TOOL, Origin.THIRD_PARTY),
]


@pytest.mark.parametrize(("name", "role", "origin"), SPEAKERS)
def test_roles_have_their_speakers(name: str, role: Role, origin: Origin) -> None:
    """Content and name of a message are leaves of its role and origin, and the message comes through unchanged."""
    message = {"role": name, "content": "c", "name": "n", **({"tool_call_id": "t"} if name == "tool" else {})}
    node = at(message)
    assert messages(node) == [message]
    assert node.found.leaves == [
        Leaf("messages[0].name", "n", role, Channel.PARAMETER, origin, new=True),
        Leaf("messages[0].content", "c", role, Channel.CONTENT, origin, new=True),
    ]


def test_every_role_is_tested() -> None:
    """The list above is the parser's."""
    assert [name for name, _, _ in SPEAKERS] == list(ROLES)


@pytest.mark.parametrize(
    ("roles", "new"),
    [
        ("u", "1"),
        ("ua", "11"),
        ("uau", "001"),
        ("uaua", "0011"),
        ("uat", "001"),
        ("uatt", "0011"),
        ("suau", "1001"),
        ("uads", "0011"),
    ],
)
def test_new_this_turn(roles: str, new: str) -> None:
    """New is what follows the last finished answer, and the operator's words always; a prefill makes nothing look old."""
    names = {"u": "user", "a": "assistant", "s": "system", "t": "tool", "d": "developer"}
    node = at(*({"role": names[r], "content": "x", **({"tool_call_id": "t"} if r == "t" else {})} for r in roles))
    messages(node)
    assert "".join("01"[leaf.new] for leaf in node.found.leaves) == new
    assert (node.found.uses == [Use(Feature.PREFILL, f"messages[{len(roles) - 1}]")]) == roles.endswith("a")


@pytest.mark.parametrize(
    ("channel", "key"),
    [(Channel.REASONING, "reasoning"), (Channel.REASONING, "reasoning_content"), (Channel.REFUSAL, "refusal")],
)
def test_an_assistants_other_texts_have_their_channels(channel: Channel, key: str) -> None:
    """Reasoning and refusals that come back are screened in their own channels."""
    message = {"role": "assistant", "content": "a", key: "t"}
    node = at(user(), message, user())
    assert messages(node)[1] == message
    assert (
        Leaf(f"messages[1].{key}", "t", Role.ASSISTANT, channel, Origin.MODEL_HISTORY, new=False) in node.found.leaves
    )


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [CALL]},
        {"tool_calls": [CALL]},
        {"content": None, "refusal": "no"},
        {"refusal": "no"},
        {"content": ""},
        {"content": None, "function_call": {"name": "f", "arguments": ""}},
    ],
)
def test_content_may_be_null_where_something_else_is_said(message: dict[str, Any]) -> None:
    """A null content stays null and an absent one absent, since templates of models tell them apart."""
    assert messages(at({"role": "assistant", **message})) == [{"role": "assistant", **message}]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"content": None},
        {"content": None, "tool_calls": []},
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "content": None},
    ],
)
def test_an_assistant_must_say_something(message: dict[str, Any]) -> None:
    """Nothing, or thoughts alone, is refused."""
    assert refused({"role": "assistant", **message}) == "messages[0]"


def test_what_the_sdk_dumps_is_taken() -> None:
    """Nulls, empty lists and the index of a stream are nothing, and are not sent on."""
    dumped = {"content": "a", "refusal": None, "annotations": [], "audio": None, "function_call": None}
    dumped |= {"tool_calls": [{**CALL, "index": 0}], "reasoning": None}
    assert messages(at({"role": "assistant", **dumped})) == [
        {"role": "assistant", "content": "a", "tool_calls": [CALL]}
    ]


def test_arguments_are_screened_as_they_stand_and_decoded() -> None:
    """The raw string is what is sent; what a server decodes from it is one more leaf."""
    raw = '{"q": "\\u0061mber", "n": [1, {"k": "kestrel"}]}'
    node = at({"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": raw}}]})
    assert messages(node)[0]["tool_calls"][0]["function"]["arguments"] == raw
    path = "messages[0].tool_calls[0].function"
    assert [(leaf.path, leaf.text) for leaf in node.found.leaves] == [
        (f"{path}.name", "f"),
        (f"{path}.arguments", raw),
        (f"{path}.arguments~decoded", "amber\nkestrel\nq\nn\nk"),
    ]
    assert {leaf.channel for leaf in node.found.leaves} == {Channel.TOOL_CALL}


@pytest.mark.parametrize(
    ("arguments", "inside"),
    [
        ("", ""),
        ("{}", ""),
        ("5", ""),
        ("{broken", ""),
        ('{"a": "x"} trailing', ""),
        ('"bare"', "bare"),
        ('  {"a": "x"}\n', "x\na"),
        ('{"a": "x", "a": "y"}', "x\ny\na\na"),
        ('{"a": NaN, "b": "x", "c": 1e999}', "x\na\nb\nc"),
        ('{"a": ' + "9" * 5000 + ', "b": "x"}', "x\na\nb"),
        ('{"a": "line\nend"}', "line\nend\na"),
        ('{"a": "\\ud800x"}', "?x\na"),
        ('["a", ["b", {"c": "d"}], "e"]', "a\nb\nd\ne\nc"),
        ("[" * 100_000, ""),
        ("[" * 900 + '"x"' + "]" * 900, "x"),
    ],
)
def test_what_a_server_may_find_in_arguments(arguments: str, inside: str) -> None:
    """Values in order, then keys, of anything that some server would read as JSON; nothing raises."""
    assert strings_inside(arguments) == inside


def strings(tree: Any) -> list[str]:
    """The slow oracle: every string and key of a value."""
    if isinstance(tree, dict):
        return [text for key, item in tree.items() for text in (key, *strings(item))]
    if isinstance(tree, list):
        return [text for item in tree for text in strings(item)]
    return [tree] if isinstance(tree, str) else []


words = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=5)
values = st.recursive(words | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(words, inner))


@given(values, st.booleans())
def test_no_string_of_arguments_is_missed(value: Any, ascii_only: bool) -> None:
    """The decoded lines are exactly the strings and keys of the value, escaped or not."""
    inside = strings_inside(json.dumps(value, ensure_ascii=ascii_only))
    assert sorted(inside.split("\n") if inside else []) == sorted(strings(value))


@pytest.mark.parametrize("given_", ["", "two words", "a" * 65, "é", "a\n", "a/b"])
def test_ids_leave_no_room_for_sentences(given_: str) -> None:
    """An id is up to 64 letters, digits and a few marks; what models and servers write are such."""
    assert refused({"role": "tool", "tool_call_id": given_, "content": "x"}) == "messages[0].tool_call_id"
    assert refused({"role": "assistant", "tool_calls": [{**CALL, "id": given_}]}) == "messages[0].tool_calls[0].id"
    assert all(map(ID.fullmatch, ("call_abc", "chatcmpl-tool-0123456789abcdef", "functions.find:0", "a" * 64)))


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (5, ""),
        ({"content": "x"}, ".role"),
        ({"role": "critic", "content": "x"}, ".role"),
        (user(None), ".content"),
        ({"role": "user"}, ".content"),
        (user(tool_calls=[CALL]), ".tool_calls"),
        (user(tool_call_id="c"), ".tool_call_id"),
        (user(name=5), ".name"),
        ({"role": "system", "content": "x", "refusal": "x"}, ".refusal"),
        ({"role": "tool", "content": "x"}, ".tool_call_id"),
        ({"role": "tool", "tool_call_id": "c", "content": None}, ".content"),
        ({"role": "function", "content": "x"}, ".name"),
        ({"role": "function", "content": "x", "name": None}, ".name"),
        ({"role": "assistant", "content": "a", "audio": {"id": "x"}}, ".audio"),
        ({"role": "assistant", "content": "a", "annotations": ["x"]}, ".annotations"),
        ({"role": "assistant", "content": "a", "reasoning_details": []}, ".reasoning_details"),
        ({"role": "assistant", "content": "a", "reasoning": ["x"]}, ".reasoning"),
        ({"role": "assistant", "content": "a", "refusal": 1}, ".refusal"),
        ({"role": "assistant", "tool_calls": {}}, ".tool_calls"),
        ({"role": "assistant", "tool_calls": [{**CALL, "index": "x"}]}, ".tool_calls[0].index"),
        ({"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}, ".tool_calls[0].type"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "function": CALL["function"]}]}, ".tool_calls[0].type"),
        ({"role": "assistant", "tool_calls": [{**CALL, "note": 1}]}, ".tool_calls[0].note"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f"}}]},
            ".tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "function_call": {"arguments": "{}"}}, ".function_call.name"),
    ],
)
def test_faults_name_their_path(message: Any, path: str) -> None:
    """What is wrong in a message is refused by its path; nothing inside of a message is dropped."""
    assert refused(user(), message) == f"messages[1]{path}"


def test_a_conversation_has_a_message() -> None:
    """An empty list is refused."""
    assert refused() == "messages"


def test_the_sdks_copies_are_left_out_and_named() -> None:
    """What OpenAI's SDK read from a text and sends back beside it does not reach the model; the text does."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "n", "arguments": "{}", "parsed_arguments": {"a": "x1"}},
    }
    turns = [
        {"role": "assistant", "content": "a1", "parsed": {"name": "x2"}, "tool_calls": [call, call]},
        {"role": "user", "content": "u1"},
    ]
    node = Node(turns, "messages", Found(99))
    out = messages(node)
    assert node.found.dropped == ["parsed", "parsed_arguments"]
    sent = json.dumps(out)
    assert not [word for word in ("x1", "x2", "parsed") if word in sent]
    empty = Node([{"role": "assistant", "content": "a1", "parsed": None}, turns[1]], "messages", Found(99))
    assert messages(empty)[0] == {"role": "assistant", "content": "a1"}
    assert not empty.found.dropped
