"""Database files as other programs leave them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def run(path: Path, *statements: str) -> None:
    """Change a database behind the store's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
