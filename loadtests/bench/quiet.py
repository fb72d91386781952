"""A lock that measurements on one machine share, so that they do not disturb each other; given up now and then."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HOLD_SECONDS = 270.0


class Quiet:
    """A context manager that holds a lock file, if one is given; ``turn`` lets others in when it was held for long."""

    def __init__(self, path: Path | None, hold: float = HOLD_SECONDS) -> None:
        self._file = path.open("a") if path else None
        self._hold = hold
        self._since = 0.0

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def turn(self) -> None:
        """To be called between measurements."""
        if self._file is not None and time.monotonic() - self._since > self._hold:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            time.sleep(0.1)  # who waits is woken by now
            self._take()

    def _take(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._since = time.monotonic()
