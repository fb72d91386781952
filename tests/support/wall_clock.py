"""A process whose wall clock jumps: Debian's libfaketime, steered by a file. Its monotonic clock stays true, as on a real machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WallClock:
    """The file that says how far off the clock of a process is."""

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with."""
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        assert found, "this test needs faketime: `bash .ci/fault-tools` installs it (Debian, Ubuntu; as root)"
        return {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            # Without this its waits on conditions return at once where they are measured in monotonic time, and every thread spins.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, seconds: int) -> None:
        """From now on the clock is this far from the true time."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self.file)


def wall_clock(folder: Path) -> WallClock:
    """A clock that is right, until it jumps."""
    clock = WallClock(folder / "wall.clock")
    clock.jump(0)
    return clock
