"""Verification in a process of its own says what verification in this one says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.ledger_chains import Chain, filled

from gateway.app.auditor import audit, told
from gateway.ledger.base import LedgerError
from gateway.ledger.segments import segment
from gateway.ledger.verify import verify_chain

MODULE = [sys.executable, "-m", "gateway.app.auditor"]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Two sealed segments and an open one."""
    return filled(tmp_path, (30, "asl-3", 1), (30, "asl-1", 2))


async def test_the_same_is_found_elsewhere(chain: Chain) -> None:
    """Rows, spans and faults come back as they are."""
    assert await audit(chain.directory, chain.head) == verify_chain(chain.directory, chain.head)
    path = segment(chain.directory, 30)
    path.write_bytes(path.read_bytes().replace(b"asl-1", b"asl-2", 1))
    found = await audit(chain.directory, None)
    assert found == verify_chain(chain.directory, None)
    assert not found.ok


async def test_a_process_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    """A directory that cannot be read ends the process; nothing is taken for sound."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="said nothing"):
        await audit(tmp_path / "file", None)


def test_the_process_ends_with_its_parent(chain: Chain) -> None:
    """Without a stdin there is nobody to tell: a verification that takes long does not go on."""
    os.mkfifo(chain.directory / "99999999999999999999.jsonl")  # opening it waits for a writer that never comes
    question = json.dumps({"directory": str(chain.directory), "head": None}).encode() + b"\n"
    done = subprocess.run(MODULE, input=question, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")


async def test_a_cancelled_audit_leaves_no_process(chain: Chain) -> None:
    """Stopping a gateway stops what it began."""
    os.mkfifo(chain.directory / "99999999999999999999.jsonl")

    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    before = children()
    task = asyncio.create_task(audit(chain.directory, None))
    async with asyncio.timeout(60):
        while not children() - before:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not children() - before


def test_a_chain_is_told_whole(chain: Chain) -> None:
    """Every field but the torn line crosses."""
    found = verify_chain(chain.directory, chain.head)
    assert json.loads(told(found)).keys() == {
        "replica",
        "rows",
        "first",
        "sequence",
        "digest",
        "time_ms",
        "faults",
        "spans",
        "retention",
    }
