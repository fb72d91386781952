from __future__ import annotations

import pytest

from gateway.errors import UpstreamMalformed
from gateway.exchange import Channel, ChannelKey, Exchange, Finish, FinishReason, TextDelta, ToolCallStart, Usage
from gateway.wire.anthropic_blocks import Blocks, BlockShape, UsageShape
from gateway.wire.base import WireLimits

KEY = ChannelKey(0, Channel.CONTENT)


def blocks(*, answer_bytes: int = 1000) -> Blocks:
    exchange = Exchange("anthropic.messages", "m", True, 1, (), {"stop_sequences": ["END"]})
    return Blocks(exchange, WireLimits(answer_bytes=answer_bytes))


def test_each_block_has_an_ordinal_of_its_kind() -> None:
    """Channels are numbered among the blocks of their channel; redacted thinking counts as reasoning."""
    made = blocks()
    kinds = ["text", "thinking", "redacted_thinking", "text", "tool_use", "tool_use"]
    keys = [made.open(BlockShape(kind, id="c", name="f"))[0] for kind in kinds]
    assert [(key.channel, key.index) for key in keys] == [
        (Channel.CONTENT, 0),
        (Channel.REASONING, 0),
        (Channel.REASONING, 1),
        (Channel.CONTENT, 1),
        (Channel.TOOL_CALL, 0),
        (Channel.TOOL_CALL, 1),
    ]


def test_a_call_settles_once() -> None:
    """Only a call without arguments gets empty ones, and only once."""
    made = blocks()
    key, events = made.open(BlockShape("tool_use", id="c", name="f"))
    assert list(events) == [ToolCallStart(key, "c", "f")]
    assert [list(made.settle()), list(made.settle())] == [[TextDelta(key, "{}")], []]


@pytest.mark.parametrize("text", ["x" * 11, "é" * 6])
def test_text_is_bounded_in_bytes(text: str) -> None:
    """The bound counts UTF-8 bytes of all text of the answer."""
    made = blocks(answer_bytes=10)
    with pytest.raises(UpstreamMalformed, match="too large"):
        list(made.text(KEY, text))


def test_names_and_opaque_values_count_too() -> None:
    """A long tool name or signature is not free of the bound."""
    with pytest.raises(UpstreamMalformed, match="too large"):
        list(blocks(answer_bytes=10).open(BlockShape("tool_use", id="c", name="f" * 11))[1])
    with pytest.raises(UpstreamMalformed, match="too large"):
        list(blocks(answer_bytes=10).opaque(KEY, "signature", "f" * 11))


def test_usage_merges() -> None:
    """Absent counts leave what is known; no usage gives no event."""
    made = blocks()
    assert list(made.usage(UsageShape(input_tokens=5))) == [Usage(5, 0)]
    assert list(made.usage(None)) == []
    assert list(made.usage(UsageShape(output_tokens=3, cache_read_input_tokens=2))) == [Usage(7, 3, 2)]


def test_the_finish_comes_once() -> None:
    """No reason is no finish; a second finish, or an unknown reason, is malformed."""
    made = blocks()
    assert list(made.finish(None, "END")) == []
    assert list(made.finish("stop_sequence", "END")) == [Finish(0, FinishReason.STOP_SEQUENCE, "END")]
    for reason in ("end_turn", "new"):
        with pytest.raises(UpstreamMalformed):
            list(made.finish(reason, None))


@pytest.mark.parametrize(("given", "name"), [("two words", "f"), ("", "f"), ("c" * 129, "f"), ("c", "")])
def test_a_call_needs_a_proper_id_and_a_name(given: str, name: str) -> None:
    """Each is enough to refuse: an id that could hold words would reach the client unjudged."""
    with pytest.raises(UpstreamMalformed, match="no proper id or no name"):
        list(blocks().open(BlockShape("tool_use", id=given, name=name))[1])
