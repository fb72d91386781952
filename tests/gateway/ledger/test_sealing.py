"""Compression loses nothing, whenever it is killed."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.ledger_chains import Chain, filled

from gateway.ledger import sealing
from gateway.ledger.base import LedgerError
from gateway.ledger.reading import export
from gateway.ledger.sealing import compress, digest_of, seal_segments
from gateway.ledger.segments import SegmentDamaged, packed, segment, segments
from gateway.ledger.verify import verify_chain

STEPS = ("open", "write", "fsync", "rename", "unlink", "close")


def chain_of(root: Path) -> Chain:
    """Two sealed segments and an open one."""
    return filled(root, (40, "asl-3", 1), (40, "asl-3", 2))


def test_sealed_segments_are_compressed_and_the_open_one_is_not(tmp_path: Path) -> None:
    """Every row is the same afterwards, and the chain verifies."""
    chain = chain_of(tmp_path)
    before = list(export(tmp_path))
    made = seal_segments(chain.directory)
    assert made == [packed(segment(chain.directory, first)) for first in (0, 40)]
    assert segments(chain.directory) == [*made, segment(chain.directory, 80)]
    assert list(export(tmp_path)) == before
    assert verify_chain(chain.directory, chain.head).ok
    assert gzip.decompress(made[0].read_bytes()).count(b"\n") == 40
    assert seal_segments(chain.directory) == []
    assert made[0].stat().st_mode & 0o777 == 0o600


def test_both_forms_and_drafts_of_a_crash_are_fine(tmp_path: Path) -> None:
    """Beside a plain file, a compressed one of any contents and a half draft change nothing and are made anew."""
    chain = chain_of(tmp_path)
    before = list(export(tmp_path))
    packed(segment(chain.directory, 0)).write_bytes(b"half of something")
    (chain.directory / ("." + packed(segment(chain.directory, 0)).name)).write_bytes(b"draft")
    assert verify_chain(chain.directory, chain.head).ok
    seal_segments(chain.directory)
    assert list(export(tmp_path)) == before
    assert not list(chain.directory.glob(".*"))


def test_stopping_ends_between_segments(tmp_path: Path) -> None:
    """A gateway that stops waits for one segment at most."""
    chain = chain_of(tmp_path)
    answers = iter([False, True])
    assert len(seal_segments(chain.directory, lambda: next(answers))) == 1


@pytest.mark.parametrize("cut", [1, 10, 60, 200, -9, -1])
def test_a_damaged_archive_is_a_fault(tmp_path: Path, cut: int) -> None:
    """A compressed segment cut anywhere is found, and so is a flipped bit."""
    chain = chain_of(tmp_path)
    path = compress(segment(chain.directory, 0))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert not verify_chain(chain.directory, chain.head).ok
    with pytest.raises(SegmentDamaged):
        digest_of(path)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert not verify_chain(chain.directory, chain.head).ok


def test_a_compression_that_reads_back_differently_keeps_the_plain_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read back is not trusted, and nothing is left of it."""
    chain = chain_of(tmp_path)
    monkeypatch.setattr(sealing, "digest_of", lambda _path: "other")
    with pytest.raises(LedgerError, match="reads back"):
        seal_segments(chain.directory)
    assert len(list(chain.directory.iterdir())) == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.ledger.sealing import seal_segments
steps = int(sys.argv[2])
def watch(event, arguments):
    global steps
    if event in {"open", "os.rename", "os.remove"} and str(arguments[0]).startswith(sys.argv[1]):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
seal_segments(Path(sys.argv[1]))
"""


def test_killed_before_any_step_the_chain_verifies_and_goes_on(tmp_path: Path) -> None:
    """kill -9 before each open, rename and unlink of a compression: nothing is missing, and the next one finishes it."""
    chain = chain_of(tmp_path)
    before = list(export(tmp_path))
    killed = 0
    for step in range(1, 40):
        done = subprocess.run([sys.executable, "-c", KILLED, str(chain.directory), str(step)], check=False, timeout=60)
        assert list(export(tmp_path)) == before, step
        assert verify_chain(chain.directory, chain.head).ok, step
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
        for path in chain.directory.glob(
            "[0-9]*.gz"
        ):  # begin anew: this step is met in the same place as the ones before
            plain = segment(chain.directory, int(path.name[:20]))
            if not plain.exists():
                plain.write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    assert killed >= 8
    assert [path.suffix for path in segments(chain.directory)] == [".gz", ".gz", ".jsonl"]
    assert not list(chain.directory.glob(".*"))
