"""The canary phrase in every disguise that rules must see through, and the rules that look for it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType

from gateway.exchange import Direction
from gateway.terms import Rule, RuleSet

CANARY = "amber kestrel protocol"
BOTH = frozenset(Direction)
_B64 = base64.b64encode(CANARY.encode()).decode()
_LONG = base64.encodebytes(f"{'lorem ipsum dolor sit amet ' * 5}{CANARY} {'and so on ' * 5}".encode()).decode().strip()

# Readable by a following judge as well as in whole texts.
DISGUISES: Mapping[str, str] = MappingProxyType(
    {
        "plain": CANARY,
        "upper case": CANARY.upper(),
        "white space": "amber \t\n kestrel\u00a0\u3000protocol",
        "zero-width": "\u200b".join(CANARY),
        "soft hyphens and bidi": "am\u00adber kes\u202etrel\u202c pro\u2066tocol",
        "full width": "".join(chr(ord(letter) + 0xFEE0) if letter != " " else "\u3000" for letter in CANARY),
        "mathematical": "".join(chr(0x1D41A + ord(letter) - 97) if letter != " " else " " for letter in CANARY),
        "cyrillic": "аmbеr kеstrеl рrоtосоl",
        "greek and marks": "αmbεr κestrel p\u0336r\u0336otocol",
        "leet": "4mb3r k3$tr31 pr0t0c0l",
        "separators": "a.m.b.e.r-k_e_s_t_r_e_l / p r o t o c o l",
        "no separators": CANARY.replace(" ", ""),
        "base64": _B64,
        "base64 without padding": _B64.rstrip("="),
        "base64 in lines": _LONG,
        "base64 in short lines": "\n".join(_B64[at : at + 8] for at in range(0, len(_B64), 8)),
        "base64 behind a letter": f"x{_B64}",
        "base64 with zero-width": "\u200b".join(_B64),
        "base64 of utf-16": base64.b64encode(CANARY.encode("utf-16-le")).decode(),
        "base64 twice": base64.b64encode(_B64.encode()).decode(),
        "hex": CANARY.encode().hex(),
        "hex with blanks": CANARY.encode().hex(" "),
        "hex with colons": CANARY.encode().hex(":").upper(),
        "hex literals": ", ".join(hex(byte) for byte in CANARY.encode()),
        "hex number": f"0x{CANARY.encode().hex()}",
        "hex escapes": "".join(f"\\x{byte:02x}" for byte in CANARY.encode()),
        "octal escapes": "".join(f"\\{byte:03o}" for byte in CANARY.encode()),
        "unicode escapes": "".join(f"\\u{byte:04x}" for byte in CANARY.encode()),
        "percent": "".join(f"%{byte:02X}" for byte in CANARY.encode()),
        "percent blanks": CANARY.replace(" ", "%20"),
        "entities": "".join(f"&#{byte};" for byte in CANARY.encode()),
        "hex entities": "".join(f"&#x{byte:x};" for byte in CANARY.encode()),
        "tags": "".join(chr(0xE0000 + ord(letter)) for letter in CANARY),
        "selectors": "".join(chr(0xE00F0 + ord(letter)) for letter in CANARY),
        "base64 of hex": base64.b64encode(CANARY.encode().hex().encode()).decode(),
    }
)


def rule(
    rule_id: str = "rr-1",
    literal: str | None = None,
    pattern: str | None = None,
    directions: frozenset[Direction] = BOTH,
    expires: int = 0,
) -> Rule:
    """A rule of category ``cbrn``."""
    return Rule(rule_id, "cbrn", directions, literal, pattern, expires, "a test")


def rule_set(*rules: Rule, digest: str = "") -> RuleSet:
    """A rule set; its digest tells sets of different rules apart."""
    return RuleSet(digest or repr(rules), rules)


CANARY_RULES = rule_set(rule("rr-canary", literal=CANARY))
