"""What may stand in a vetted OpenAI body without being a leaf, written down apart from the parser."""

from __future__ import annotations

import re
from typing import Any

ENUMERATED: dict[str, set[str]] = {
    "type": {"text", "refusal", "image_url", "input_audio", "file", "function", "json_object", "json_schema"},
    "role": {"system", "developer", "user", "assistant", "tool", "function"},
    "detail": {"auto", "low", "high"},
    "format": {"wav", "mp3"},
    "tool_choice": {"none", "auto", "required"},
    "reasoning_effort": {"none", "minimal", "low", "medium", "high", "xhigh", "max"},
    "verbosity": {"low", "medium", "high"},
    "service_tier": {"auto", "default", "flex", "scale", "priority"},
    "modalities": {"text"},
}
CHECKED = {
    "id": r"[A-Za-z0-9_.:-]{1,64}",
    "tool_call_id": r"[A-Za-z0-9_.:-]{1,64}",
    "url": r"data:image/(jpeg|png|gif|webp);base64,[A-Za-z0-9+/]+={0,2}",
    "file_data": r"data:application/pdf;base64,[A-Za-z0-9+/]+={0,2}",
    "data": r"[A-Za-z0-9+/]+={0,2}",
}
FREE = {"parameters", "schema", "metadata"}


def unproven(tree: Any, leaves: set[str], key: str = "", *, free: bool = False) -> list[str]:
    """Strings of a tree that are no leaf, no enumerated value and no pattern-checked id; in free JSON keys count too."""
    if isinstance(tree, dict):
        bad = [name for name in tree if free and name not in leaves]
        if key == "logit_bias":
            return [name for name in tree if not re.fullmatch(r"[0-9]{1,7}", name)]
        return bad + [
            text for name, item in tree.items() for text in unproven(item, leaves, name, free=free or name in FREE)
        ]
    if isinstance(tree, list):
        return [text for item in tree for text in unproven(item, leaves, key, free=free)]
    if not isinstance(tree, str) or tree in leaves or (not free and tree in ENUMERATED.get(key, ())):
        return []
    return [] if not free and re.fullmatch(CHECKED.get(key, "(?!)"), tree) else [tree]
