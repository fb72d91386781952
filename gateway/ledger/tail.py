"""The quick check before a process continues its chain: from the row that the head names to the end, whatever lies before.

Months of rows would keep a restart from listening for minutes; all of them are verified while it serves (``app.auditor``).
"""

from __future__ import annotations

from pathlib import Path

from gateway.ledger.rows import MAX_LINE, RowInvalid, parse
from gateway.ledger.segments import SegmentDamaged, first_of, raw_lines, segments
from gateway.ledger.verify import Chain, Head, Walk, verify_chain

WINDOW = 4 << 20


def verify_tail(directory: Path, head: Head | None, window: int = WINDOW) -> Chain:
    """Verify the end of a chain against its head; all of it where there is no head, or where the end alone does not do.

    ``window``: about how many bytes of the last segment are read before its end.
    """
    files = segments(directory)
    if head is None or not files:
        return verify_chain(directory, head)
    begin = max((index for index, path in enumerate(files) if first_of(path) <= head[0]), default=0)
    files = files[begin:]
    walk = Walk(directory.name, head, whole=begin == 0 and first_of(files[0]) == 0)
    offset = _landing(files[0], head, window) if len(files) == 1 else 0
    if offset:
        walk = Walk(directory.name, head, whole=False)
    for path in files:
        _follow(walk, path, offset)
        offset = 0
    return walk.end(directory)


def _follow(walk: Walk, path: Path, begin: int) -> None:
    try:
        if not begin:
            for number, (offset, data) in enumerate(raw_lines(path), 1):
                walk.take(path, number, offset, data)
                if walk.hopeless:
                    return
            return
        with path.open("rb") as file:
            file.seek(begin)
            offset, number = begin, 0  # lines are counted from the window: nobody has read those before it
            while (data := file.readline(MAX_LINE + 2)) and not walk.hopeless:
                number += 1
                walk.take(path, number, offset, data)
                offset += len(data)
    except SegmentDamaged as error:
        walk.fault(path.name, 0, str(error))


def _landing(path: Path, head: Head, window: int) -> int:
    """Where a row begins that is not after the head's row and near the end of a plain file; 0 where that is its beginning."""
    if path.suffix != ".jsonl":
        return 0
    size = path.stat().st_size
    with path.open("rb") as file:
        while (start := size - window) > 0:
            file.seek(start)
            start += len(file.readline(MAX_LINE + 2))
            try:
                if int(parse(file.readline(MAX_LINE + 2).rstrip(b"\n"))["seq"]) <= head[0]:
                    return start
            except RowInvalid:
                return 0  # whatever this is, it is read from the beginning
            window *= 4
    return 0
