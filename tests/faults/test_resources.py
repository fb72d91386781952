"""What the machine runs out of, and an environment that means well: descriptors and proxies."""

from __future__ import annotations

import contextlib
import resource
import socket
from pathlib import Path

import httpx
from support.faulting import Scene, scene, sound
from support.running import CHAT, SECONDS, question, until

FILES = 96
HARD = 4096


def hold(one: Scene, number: int) -> list[socket.socket]:
    """So many clients that connect and say nothing."""
    host, port = one.running.data.removeprefix("http://").split(":")
    held = []
    for _ in range(number):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection((host, int(port)), SECONDS))
    return held


def highest(one: Scene) -> int:
    """The largest descriptor of the gateway's process."""
    return max(int(entry.name) for entry in Path(f"/proc/{one.running.process.pid}/fd").iterdir())


def open_files(one: Scene) -> int:
    """Descriptors of the gateway's process."""
    return len(list(Path(f"/proc/{one.running.process.pid}/fd").iterdir()))


def test_out_of_descriptors(tmp_path: Path) -> None:
    """Clients cannot take the last descriptors: more get 503, the admin plane answers, who is in is served; then all is as before."""
    with scene(tmp_path) as one:
        one.served()
        idle = open_files(one)
        resource.prlimit(one.running.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        with httpx.Client(base_url=one.running.data, trust_env=False, timeout=SECONDS) as kept:
            assert kept.post(CHAT, json=question()).status_code == 200
            held = hold(one, 2 * FILES)
            until(lambda: one.total("refusals_total", reason="out_of_descriptors") > 0)
            assert any(client.recv(12) == b"HTTP/1.1 503" for client in held[-3:])
            assert one.running.ready().status_code == 200
            assert one.running.api("GET", "/models/demo-model").json()["in_force"] == "asl-3"
            assert kept.post(CHAT, json=question()).status_code == 200
            for client in held:
                client.close()
        until(lambda: open_files(one) <= idle + 4)
        one.served()
        until(lambda: one.rows("refusals"))
        assert {row["reason"] for row in one.rows("refusals")} == {"out_of_descriptors"}
        assert sound(one.running.state)
        assert one.running.stop() == 0


def test_no_descriptor_for_the_model_server(tmp_path: Path) -> None:
    """When the exchange itself finds none left it is 503, on record as overloaded and not asked of the model; then served again."""
    with scene(tmp_path) as one:
        with httpx.Client(base_url=one.running.data, trust_env=False, timeout=SECONDS) as kept:
            one.outcome(lambda: kept.post(CHAT, json=question() | {"model": "nobody"}))  # the connection is taken in
            pid, limit = one.running.process.pid, highest(one) + 2
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, HARD))
            row, answer = one.outcome(lambda: kept.post(CHAT, json=question()))
            assert (row["outcome"], row["status"], len(one.upstream.requests)) == ("overloaded", 503, 0)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (HARD, HARD))
        one.served()


def test_proxies_of_the_environment_are_not_used(tmp_path: Path) -> None:
    """With every proxy variable set the model server is still reached directly, and the proxy hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        with scene(tmp_path, dict.fromkeys(names, url) | {"NO_PROXY": "", "no_proxy": ""}) as one:
            one.served()
            assert len(one.upstream.requests) == 2
        with contextlib.suppress(BlockingIOError):
            connection, _ = proxy.accept()
            connection.close()
            raise AssertionError("the proxy was asked")
