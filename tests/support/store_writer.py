"""A process that opens brakes in a sqlite store and says after each that it is acknowledged: ``store_writer.py FILE PREFIX COUNT``."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.state.base import Brake
from gateway.state.sqlite import SqliteStore
from gateway.terms import Level


def main(file: str, prefix: str, count: str) -> None:
    """Write ``count`` brakes, or for ever when it is 0; print "id revision" once each is acknowledged."""
    store = SqliteStore(Path(file))
    number = 0
    while not int(count) or number < int(count):
        number += 1
        brake = Brake(f"{prefix}-{number}", "m", Level.both(5), "r", "o", number)
        store.add_brake(brake)
        print(brake.id, store.revision(), flush=True)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
