"""The shared gateway's admin API, left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from support.running import Running

Call = Callable[..., httpx.Response]


@pytest.fixture
def call(shared: Running) -> Iterator[Call]:
    """One call of the admin API with the token; brakes and added rules are taken back afterwards."""
    yield shared.api
    shared.api("DELETE", "/models/demo-model/brakes", json={"owner": "tester", "reason": "end of a test"})
    for rule in shared.api("GET", "/rules").json()["rules"]:
        shared.api("DELETE", f"/rules/{rule['id']}")
