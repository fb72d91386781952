"""What the pipeline is handed by ``app``: one value for all exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.controls.chain import Chain
from gateway.ledger.base import Sink
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pipeline.counted import Refusals
from gateway.pipeline.ports import BodyParser
from gateway.policy.holder import SnapshotHolder
from gateway.upstream import Upstream
from gateway.wire.base import WireLimits


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the pipeline calls; ``app`` hands it in."""

    holder: SnapshotHolder
    chain: Chain
    ledger: Sink
    upstreams: Mapping[str, Upstream]
    limits: Limits
    wire: WireLimits
    metrics: Metrics
    clock: Clock
    digest_key: bytes
    parser: BodyParser
    refusals: Refusals
