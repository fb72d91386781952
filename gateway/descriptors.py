"""File descriptors: how many there may be, and how many clients and model servers leave to the ledger and the admin plane.

The kernel gives out the lowest free number, so the number of a new descriptor says how many are open: no counting is needed.
"""

from __future__ import annotations

import contextlib
import resource

SPARE = 64  # left free by clients; by connections to model servers half of it
MOST = 65_536


def scarce(descriptor: int, *, spare: int = SPARE) -> bool:
    """Whether taking this descriptor leaves too few to others. A small limit keeps a quarter of itself."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and descriptor >= limit - min(spare, limit * spare // (4 * SPARE))


def raise_limit() -> int:
    """As many descriptors as the process may have (at most 65,536): the usual 1,024 are fewer than ``limits.streams`` needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a sandbox may forbid it; what there is has to do
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
