"""A real file system of a few MiB, to be filled: what a full disk does is not to be imagined."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(place: Path, mib: int) -> Iterator[Path]:
    """A tmpfs of this size at a new directory; gone afterwards. Fails where mounting is not permitted."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, f"this test mounts a tmpfs and needs the right to (run as root): {done.stderr}"
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill_to(place: Path, fraction: float) -> None:
    """Make this file system so full, as ``df`` counts, with one file that grows or shrinks in one go: nobody sees it emptier meanwhile."""
    found = os.statvfs(place)
    used, free = found.f_blocks - found.f_bfree, found.f_bavail
    wanted = (int((used + free) * fraction) - used + 1) * found.f_frsize
    with (place / "filler").open("ab") as file:
        if wanted < 0:
            file.truncate(file.tell() + wanted)
        else:
            file.write(bytes(wanted))
