"""All cases, by SDK, in the order of the tables. What is not listed here is neither tested nor documented."""

from __future__ import annotations

from support.sdk import anthropic_calls, anthropic_parameters, openai_calls, openai_parameters
from support.sdk.cases import Case
from support.sdk.langchain_calls import LANGCHAIN_CASES
from support.sdk.litellm_calls import LITELLM_CASES

OPENAI = (
    *openai_calls.CALL_CASES,
    *openai_calls.BUSY_CASES,
    *openai_parameters.MESSAGES,
    *openai_parameters.TOOLS,
    *openai_parameters.SHAPES,
    *openai_parameters.PARAMETERS,
    *openai_parameters.ROUTES,
    *openai_calls.BLOCKED_CASES,
)
ANTHROPIC = (
    *anthropic_calls.CALL_CASES,
    *anthropic_calls.BUSY_CASES,
    *anthropic_parameters.MESSAGES,
    *anthropic_parameters.TOOLS,
    *anthropic_parameters.PARAMETERS,
    *anthropic_parameters.BETA,
    *anthropic_parameters.ROUTES,
    *anthropic_calls.BLOCKED_CASES,
)
CATALOGUE: dict[str, tuple[Case, ...]] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "langchain": LANGCHAIN_CASES,
    "litellm": LITELLM_CASES,
}
