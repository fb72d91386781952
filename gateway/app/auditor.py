"""Full verification of one chain in a process of its own, at the lowest priority: neither the event loop nor its process feels it.

``python -m gateway.app.auditor`` reads one line of JSON from stdin and prints the chain as JSON. It ends when stdin does, so that it
never outlives the gateway that asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.ledger.base import LedgerError
from gateway.ledger.verify import Chain, Fault, Head, Span, verify_chain

NICE = 19


async def audit(directory: Path, head: Head | None) -> Chain:
    """Verify a chain elsewhere. Raises LedgerError when the process fails to say anything; kills it when cancelled."""
    question = json.dumps({"directory": os.path.abspath(directory), "head": head}).encode() + b"\n"  # noqa: PTH100, ASYNC240  # touches no file
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path)}
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.app.auditor",
            stdin=pipe,
            stdout=pipe,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise LedgerError(f"the ledger cannot be verified: {error}") from error
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(question)
        with contextlib.suppress(ConnectionError):
            await child.stdin.drain()
        answer = await child.stdout.read()
        child.stdin.close()
        return _chain(json.loads(answer))
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"the ledger cannot be verified: the verifier said nothing ({error})") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _chain(data: dict[str, Any]) -> Chain:
    return Chain(
        replica=data["replica"],
        rows=data["rows"],
        first=data["first"],
        sequence=data["sequence"],
        digest=data["digest"],
        time_ms=data["time_ms"],
        faults=[Fault(**fault) for fault in data["faults"]],
        spans=[Span(**span) for span in data["spans"]],
        retention=data["retention"],
    )


def told(chain: Chain) -> str:
    """A chain as JSON; where its torn line is belongs to those who repair."""
    return json.dumps(
        {
            "replica": chain.replica,
            "rows": chain.rows,
            "first": chain.first,
            "sequence": chain.sequence,
            "digest": chain.digest,
            "time_ms": chain.time_ms,
            "faults": [asdict(fault) for fault in chain.faults],
            "spans": [asdict(span) for span in chain.spans],
            "retention": chain.retention,
        }
    )


def main() -> None:
    """Answer the one question on stdin."""
    os.nice(NICE)
    question = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    head = question["head"]
    chain = verify_chain(Path(question["directory"]), (head[0], head[1]) if head else None)
    sys.stdout.write(told(chain))
    sys.stdout.flush()
    os._exit(0)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
