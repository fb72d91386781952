"""Disks that fail: a small tmpfs that can be filled, and a preloaded library that makes calls on some files fail."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("disk_fault.c")
NEEDED = "needs {what}: `bash .ci/fault-tools` installs it (Debian, Ubuntu; as root)"


@dataclass(frozen=True, slots=True)
class FailingDisk:
    """The library, and the file that tells it what to do."""

    library: Path
    control: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with."""
        return {"LD_PRELOAD": str(self.library), "FAULT_PATH": ".jsonl", "FAULT_CONTROL": str(self.control)}

    @contextlib.contextmanager
    def failing(self, call: str, number: int) -> Iterator[None]:
        """While inside, this call on the ledger's segments fails with this errno."""
        fresh = self.control.with_suffix(".new")
        fresh.write_text(f"{call} {number}")
        fresh.replace(self.control)
        try:
            yield
        finally:
            self.control.unlink()


def failing_disk(folder: Path) -> FailingDisk:
    """Compile the library. Fails with what is missing."""
    library = folder / "disk_fault.so"
    try:
        done = subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise AssertionError(NEEDED.format(what="gcc")) from error
    assert done.returncode == 0, done.stderr + NEEDED.format(what="gcc with libc6-dev")
    return FailingDisk(library, folder / "disk_fault.control")


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "4m") -> Iterator[Path]:
    """A tmpfs of its own for a test; only root can mount one."""
    folder.mkdir()
    mount(["-t", "tmpfs", "-o", f"size={size}", "none"], folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=30)


def mount(options: list[str], folder: Path) -> None:
    """Mount something. Fails with what it needs."""
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, (
        f"this test mounts a small file system, which needs root (CAP_SYS_ADMIN): {done.stderr}"
    )


def fill(folder: Path) -> Path:
    """Write until the file system is full; the file that holds the space."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    continue
    return ballast


ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
