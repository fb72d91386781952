"""The dialects that the gateway serves: one explicit list."""

from __future__ import annotations

from gateway.wire.anthropic_count import AnthropicCountTokens
from gateway.wire.anthropic_messages import AnthropicMessages
from gateway.wire.base import Dialect
from gateway.wire.openai_chat import OpenAIChat


def dialects() -> tuple[Dialect, ...]:
    """All of them; OpenAI's first, in whose shape faults without a dialect are told."""
    return (OpenAIChat(), AnthropicMessages(), AnthropicCountTokens())
