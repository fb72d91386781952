"""How many descriptors there may be."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest

from gateway.descriptors import MOST, raise_limit, scarce

Limit = Callable[[int], None]


@pytest.fixture
def limit() -> Iterator[Limit]:
    """Sets the soft limit of this process, for the length of a test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda number: resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("number", "spare", "first"), [(1024, 64, 960), (1024, 32, 992), (256, 64, 192), (256, 32, 224), (96, 64, 72)]
)
def test_what_is_left_to_others(limit: Limit, number: int, spare: int, first: int) -> None:
    """The first descriptor that is one too many: 64 below the limit for clients, 32 for model servers, a quarter of a small limit."""
    limit(number)
    assert not scarce(first - 1, spare=spare)
    assert scarce(first, spare=spare)


def test_the_limit_is_raised_to_what_is_allowed(limit: Limit) -> None:
    """A process that starts with the usual soft limit takes what its hard limit allows."""
    limit(256)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert raise_limit() == (MOST if hard == resource.RLIM_INFINITY else min(hard, MOST))
