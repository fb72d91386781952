"""What the machine runs out of, and an environment that means well: descriptors and proxies."""

from __future__ import annotations

import contextlib
import resource
import socket
from pathlib import Path

import httpx
from support.faulting import Scene, scene, sound
from support.running import SECONDS, until

FILES = 96


def hold(one: Scene, number: int) -> list[socket.socket]:
    """So many clients that connect and say nothing."""
    host, port = one.running.data.removeprefix("http://").split(":")
    held = []
    for _ in range(number):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection((host, int(port)), SECONDS))
    return held


def open_files(one: Scene) -> int:
    """Descriptors of the gateway's process."""
    return len(list(Path(f"/proc/{one.running.process.pid}/fd").iterdir()))


def test_out_of_descriptors(tmp_path: Path) -> None:
    """With every descriptor taken by idle clients nothing is served unrecorded and nothing crashes; when they leave, all is as before."""
    with scene(tmp_path) as one:
        one.served()
        idle = open_files(one)
        resource.prlimit(one.running.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        held = hold(one, 2 * FILES)
        until(lambda: open_files(one) >= FILES - 4)
        asked = len(one.upstream.requests)
        with contextlib.suppress(httpx.TransportError):
            httpx.post(one.running.data + "/v1/chat/completions", json={}, trust_env=False, timeout=2)
        assert len(one.upstream.requests) == asked
        for client in held:
            client.close()
        until(lambda: open_files(one) <= idle + 4)
        one.served()
        assert one.running.ready().status_code == 200
        assert sound(one.running.state)
        assert one.running.stop() == 0


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
