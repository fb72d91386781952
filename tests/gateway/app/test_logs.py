"""Logs: one JSON object a line on stderr, from us and from others."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from gateway.app.logs import configure
configure(quiet={quiet})
log = structlog.get_logger("asl_gateway")
log.info("told", count=3)
logging.getLogger("other").warning("a warning of %s", "another package")
try:
    1 / 0
except ZeroDivisionError:
    log.error("broken", exc_info=True)
"""


def lines(*, quiet: bool) -> list[dict[str, object]]:
    """What a process logs; nothing goes to stdout."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(quiet=quiet)], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_an_object_with_level_and_time() -> None:
    """Ours, other packages' and stack traces have the same form."""
    found = lines(quiet=False)
    assert [(line["level"], line["event"]) for line in found] == [
        ("info", "told"),
        ("warning", "a warning of another package"),
        ("error", "broken"),
    ]
    assert found[0]["count"] == 3
    assert all(str(line["time"]).endswith("Z") for line in found)
    assert "ZeroDivisionError" in str(found[2]["exception"])


def test_quiet_logs_errors_only() -> None:
    """The demo's screen is not disturbed by what is in order."""
    assert [line["event"] for line in lines(quiet=True)] == ["broken"]
