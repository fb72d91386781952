"""The form of a row and of the chain: canonical JSON, and SHA-256 over the previous hash and the row.

Canonical is RFC 8785 restricted to ASCII keys and string or integer values, which msgspec's sorted encoding produces byte for byte
(a property test holds it against the ``rfc8785`` package).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from gateway.ledger.base import Field

VERSION = 1
ZERO = "0" * 64
MAX_INTEGER = 2**53
# Longer than any row of ours; a longer line in a file is a fault, found without reading it whole.
MAX_LINE = 64 * 1024
RESERVED = frozenset({"v", "replica", "boot", "seq", "time_ms", "kind", "prev", "hash"})

# Keys that rows of ours have: such a row needs no look at each key. Another key is looked at, not refused.
KNOWN = RESERVED | {
    "asl",
    "caller",
    "category",
    "cause",
    "commit",
    "control",
    "controls",
    "count",
    "decision",
    "detail",
    "dialect",
    "direction",
    "duration_ms",
    "failures",
    "finish",
    "first",
    "from",
    "input_digest",
    "last",
    "last_hash",
    "model",
    "models",
    "of",
    "outcome",
    "pid",
    "policy",
    "reason",
    "released",
    "request",
    "retention",
    "revision",
    "scanned",
    "second",
    "status",
    "stream",
    "substitutes",
    "until",
    "upstream_bytes",
    "version",
}

_HASH = b'"hash":"'
_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(dict[str, str | int])


class RowInvalid(ValueError):
    """A line is not a row of the chain; the message says why."""


def canonical(row: Mapping[str, Field]) -> bytes:
    """The canonical bytes of a row. Raises RowInvalid for keys or values that rows cannot hold."""
    for key, value in row.items():
        if not (key.isascii() and key.isidentifier()):
            raise RowInvalid(f"key {key!r} is not an ASCII identifier")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise RowInvalid(f"{key} holds a {type(value).__name__}; rows hold strings and integers")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise RowInvalid(f"{key} holds an integer beyond 2**53")
    try:
        return _encoder.encode(row)
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise RowInvalid(f"not encodable: {error}") from error


def seal(row: Mapping[str, Field], previous: str) -> tuple[bytes, str]:
    """The line of a row (with ``prev``, ``hash`` and a newline) and its hash."""
    linked = {**row, "prev": previous}
    digest = link(previous, canonical(linked))
    return canonical({**linked, "hash": digest}) + b"\n", digest


def link(previous: str, body: bytes) -> str:
    """SHA-256, hexadecimal, over the previous hash and the canonical bytes of the row without ``hash``."""
    return hashlib.sha256(previous.encode() + body).hexdigest()


def parse(line: bytes) -> dict[str, str | int]:
    """A row from its line, without the newline; checks its own hash and form. Raises RowInvalid."""
    if len(line) > MAX_LINE:
        raise RowInvalid(f"a line of over {MAX_LINE} bytes")
    try:
        row = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RowInvalid(f"not a row: {error}") from error
    digest, previous, sequence = row.get("hash"), row.get("prev"), row.get("seq")
    if not (isinstance(digest, str) and isinstance(previous, str) and isinstance(sequence, int)):
        raise RowInvalid("hash, prev or seq is missing")
    # A line that equals its own sorted encoding is canonical once its keys and integers are such as rows may hold, so the bytes that were
    # hashed are those of the line without ``hash``. Whatever is not so takes the slow way, which says what is wrong.
    if _encoder.encode(row) != line or not _holdable(row):
        _explain(line, row)
    if link(previous, _unsealed(line, digest)) != digest:
        raise RowInvalid(f"the hash of row {sequence} does not match its contents")
    return row


def _holdable(row: Mapping[str, Field]) -> bool:
    if not KNOWN.issuperset(row) and not all(key.isascii() and key.isidentifier() for key in row):
        return False
    return all(value.__class__ is str or abs(value) <= MAX_INTEGER for value in row.values())  # type: ignore[arg-type]


def _unsealed(line: bytes, digest: str) -> bytes:
    """A canonical line without its hash. In strings quotes are escaped, so the key is nowhere else; ``prev`` always follows it."""
    start = line.index(_HASH)
    return line[:start] + line[start + len(_HASH) + len(digest) + 2 :]


def _explain(line: bytes, row: dict[str, str | int]) -> NoReturn:
    """Say what is wrong with a row that is not in its one form. Raises RowInvalid."""
    rest = {key: value for key, value in row.items() if key != "hash"}
    if link(str(row["prev"]), canonical(rest)) != row["hash"]:
        raise RowInvalid(f"the hash of row {row['seq']} does not match its contents")
    canonical(row)
    raise RowInvalid(f"row {row['seq']} is not in canonical form ({len(line)} bytes)")
