"""What build this is."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

NAME = "asl-gateway"


def build_info() -> dict[str, object]:
    """Version, commit and Python. In a checkout the commit is asked of git; an installed wheel knows its version only."""
    commit, dirty = _commit()
    return {
        "name": NAME,
        "version": metadata.version(NAME),
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
    }


def _commit() -> tuple[str, bool]:
    root = Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        return "none", False
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "none", False


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603, S607  # constant arguments
    return done.stdout.strip()
