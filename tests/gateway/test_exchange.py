"""The neutral form: nothing in it can be changed, and its words are stable."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

import pytest
from msgspec import Struct

from gateway import exchange
from gateway.exchange import Caller, Channel, ChannelKey, Exchange, Finish, FinishReason, Leaf, Origin, Role

DATACLASSES = [found for found in vars(exchange).values() if dataclasses.is_dataclass(found)]
STRUCTS = [found for found in vars(exchange).values() if isinstance(found, type) and issubclass(found, Struct)]
STRUCTS.remove(Struct)
ENUMS = [
    found
    for found in vars(exchange).values()
    if isinstance(found, type) and issubclass(found, StrEnum) and found is not StrEnum
]


@pytest.mark.parametrize("found", DATACLASSES, ids=lambda found: found.__name__)
def test_values_are_frozen_and_slotted(found: type) -> None:
    """Values that cross rooms cannot be edited or extended."""
    assert found.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it
    assert "__slots__" in vars(found)


@pytest.mark.parametrize("found", STRUCTS, ids=lambda found: found.__name__)
def test_values_of_a_stream_are_frozen_structs(found: type[Struct]) -> None:
    """What is made with every chunk cannot be edited either, not even past its own class."""
    assert found.__struct_config__.frozen
    made = found(*("0" for _ in found.__struct_fields__))
    for field in found.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(made, field, "1")
        with pytest.raises(TypeError):
            object.__setattr__(made, field, "1")


@pytest.mark.parametrize("found", ENUMS, ids=lambda found: found.__name__)
def test_words_are_their_names(found: type[StrEnum]) -> None:
    """Ledger, metrics and config use the value; it is the name in lower case."""
    assert [member.value for member in found] == [member.name.lower() for member in found]


def test_the_list_of_values_is_not_empty() -> None:
    """The two tests above look at what is there."""
    assert {"Exchange", "Caller"} <= {found.__name__ for found in DATACLASSES}
    assert {"Leaf", "TextDelta", "ChannelKey", "Piece"} <= {found.__name__ for found in STRUCTS}
    assert {"Role", "Channel", "Origin", "Feature"} <= {found.__name__ for found in ENUMS}


def test_a_caller_is_anonymous_unless_known() -> None:
    """Without authentication everybody is the same caller, with the tier of strangers."""
    assert Caller() == Caller("anonymous", "anonymous")


def test_an_exchange_has_safe_defaults() -> None:
    """Nothing used, nothing dropped, usage reported."""
    leaf = Leaf("messages[0].content", "hi", Role.USER, Channel.CONTENT, Origin.USER, new=True)
    made = Exchange("openai.chat", "m", False, 1, (leaf,), {})
    assert (made.uses, made.dropped, made.usage_asked, made.size) == ((), (), True, 0)


def test_channel_keys_tell_streams_apart() -> None:
    """Choice, channel and index together name one text stream of an answer; they work as dictionary keys."""
    keys = {
        ChannelKey(0, Channel.CONTENT),
        ChannelKey(1, Channel.CONTENT),
        ChannelKey(0, Channel.TOOL_CALL),
        ChannelKey(0, Channel.TOOL_CALL, 1),
    }
    assert len(keys) == 4
    assert ChannelKey(0, Channel.CONTENT, 0) in keys


def test_a_finish_without_a_stop_sequence() -> None:
    """No stop sequence is reported unless there was one."""
    assert Finish(0, FinishReason.STOP).stop_sequence is None
