"""What may stand in a vetted Anthropic body without being a leaf, written down apart from the parser."""

from __future__ import annotations

import re
from typing import Any

from gateway.wire.anthropic_content import PLACES

ENUMERATED = {
    "type": {
        *PLACES, "base64", "content", "ephemeral", "custom", "direct", "tool", "auto", "any", "none", "enabled", "disabled",
        "adaptive", "between_tools", "json_schema",
    },
    "role": {"user", "assistant", "system"},
    "media_type": {"image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf", "text/plain"},
    "ttl": {"5m", "1h"},
    "display": {"summarized", "omitted"},
    "effort": {"low", "medium", "high", "xhigh", "max"},
    "service_tier": {"auto", "standard_only"},
    "allowed_callers": {"direct"},
}  # fmt: skip
CHECKED = {"id", "tool_use_id", "signature", "data"}
FREE = {"input", "input_schema", "input_examples", "schema"}


def unproven(tree: Any, leaves: set[str], key: str = "", *, free: bool = False) -> list[str]:
    """Strings of a tree that are no leaf, no enumerated value and no pattern-checked id."""
    if isinstance(tree, dict):
        bad = [name for name in tree if free and name not in leaves]
        return bad + [
            s for name, value in tree.items() for s in unproven(value, leaves, name, free=free or name in FREE)
        ]
    if isinstance(tree, list):
        return [string for item in tree for string in unproven(item, leaves, key, free=free)]
    if not isinstance(tree, str) or tree in leaves or (not free and tree in ENUMERATED.get(key, ())):
        return []
    return [] if not free and key in CHECKED and re.fullmatch(r"[A-Za-z0-9+/=_.:-]*", tree) else [tree]
