"""The layout is a promise: who imports what, where tests stand, and how large a room may grow."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEUTRAL = {"exchange", "verdict", "errors", "terms", "clock"}
EVERYTHING = {"*"}

# room -> rooms of ours that it may import. ``settings`` and ``base`` seams are named where design.md names them.
ROOMS: dict[str, set[str]] = {
    "exchange": set(),
    "terms": {"exchange"},
    "verdict": {"exchange"},
    "errors": set(),
    "clock": set(),
    "descriptors": set(),
    "limits": {"errors", "exchange"},
    "lag": set(),
    "wire": {"exchange", "verdict", "errors", "terms"},
    "text": {"exchange", "verdict", "errors", "terms"},
    "parsing": {"exchange", "errors", "clock", "wire"},
    "screening": {"exchange", "verdict", "errors", "terms"},
    "policy": {*NEUTRAL, "settings", "state.base"},
    "controls": {*NEUTRAL, "text", "state.base", "classifiers.base"},
    "upstream": {"exchange", "errors", "settings", "clock", "descriptors"},
    "state": {*NEUTRAL, "settings"},
    "ledger": {*NEUTRAL, "settings"},
    "histogram": set(),
    "metrics": {*NEUTRAL, "settings", "histogram"},
    "settings": {*NEUTRAL},
    "pipeline": {*NEUTRAL, "limits", "wire", "policy", "controls", "screening", "upstream", "ledger", "metrics"},
    "dataplane": EVERYTHING,
    "edge": EVERYTHING,
    "edge_peer": {"exchange"},
    "edge_response": {"pipeline"},
    "app": EVERYTHING,
    "cli": EVERYTHING,
    "console": EVERYTHING,
    "demo": EVERYTHING,
    "__main__": EVERYTHING,
    "classifiers": {"text"},
}
NOBODY_IMPORTS = {"app", "edge", "edge_response", "cli", "console", "demo", "dataplane"}

# confined package -> path prefixes that may import it
CONFINED: dict[str, tuple[str, ...]] = {
    "httpx": (
        "gateway/upstream",
        "gateway/app",
        "gateway/edge",
        "gateway/cli",
        "gateway/console",
        "gateway/demo",
        "classifiers/remote.py",
    ),
    "httptools": ("gateway/upstream", "gateway/edge", "gateway/demo"),
    "starlette": ("gateway/app", "gateway/edge", "gateway/console", "gateway/cli", "gateway/demo"),
    "uvicorn": ("gateway/app", "gateway/edge", "gateway/cli", "gateway/demo"),
    "typer": ("gateway/cli",),
    "re2": ("gateway/controls/matching.py",),
    "sqlite3": ("gateway/state/sqlite.py",),
    "redis": ("gateway/state/redis.py",),
    "prometheus_client": ("gateway/metrics.py",),
    "pydantic": ("gateway/settings", "gateway/console"),
    "ruamel": ("gateway/settings",),
    "numpy": ("classifiers/",),
    "onnxruntime": ("classifiers/",),
    "tokenizers": ("classifiers/",),
    "onnx": ("classifiers/train/", "classifiers/export.py"),
    "torch": ("classifiers/transformer.py", "classifiers/train/"),
    "transformers": ("classifiers/transformer.py", "classifiers/train/"),
    "xllamacpp": ("gateway/demo/",),
    "cryptography": ("gateway/policy/", "gateway/state/", "gateway/ledger/", "gateway/app/certificates.py"),
}
# Rooms without I/O and clocks: a parser that can open a socket is not a parser.
PURE = ("wire", "text", "screening", "exchange", "verdict", "terms", "errors")
IMPURE = {"asyncio", "socket", "time", "threading", "os", "subprocess", "random", "secrets"}
# Loading them costs memory and start-up time, so they are imported only where a classifier loads.
LAZY = {"numpy", "onnxruntime", "tokenizers"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
# Files without a test of their own name, each with the reason.
UNPAIRED: dict[str, str] = {
    "gateway/controls/base.py": "protocols only",
    "gateway/state/base.py": "protocols only",
    "gateway/ledger/base.py": "protocols only",
    "gateway/pipeline/ports.py": "protocols only",
    "gateway/pipeline/rooms.py": "a value without behaviour",
    "classifiers/base.py": "protocols; Scored and OverBudget are tested through the conformance suite",
}


def sources(*folders: str) -> list[Path]:
    """All Python files of ours in these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module(path: Path) -> str:
    """The dotted module name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """The room of a module: the part after ``gateway``, or ``classifiers``."""
    parts = name.split(".")
    return parts[1] if parts[0] == "gateway" and len(parts) > 1 else parts[0]


def imports(path: Path) -> list[tuple[str, bool]]:
    """Imported module names of a file, and whether each import stands at the top level."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, id(node) in top))
    return found


def ours(name: str) -> bool:
    """Whether a module is part of this project."""
    return name.split(".", maxsplit=1)[0] in {"gateway", "classifiers"}


@pytest.mark.parametrize("path", sources("gateway", "classifiers"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    """Every import of ours is in the design's import table."""
    me = room(module(path))
    allowed = ROOMS.get(me, EVERYTHING if me == "gateway" else set())
    for name, _ in imports(path):
        if not ours(name) or name == "gateway" or room(name) == me or allowed == EVERYTHING:
            continue
        target = room(name)
        dotted = name.removeprefix("gateway.")
        assert target in allowed or dotted in allowed, f"{path}: {me} must not import {name}"


@pytest.mark.parametrize("path", sources("gateway", "classifiers"), ids=lambda path: str(path.relative_to(ROOT)))
def test_confined_packages_stay_in_their_files(path: Path) -> None:
    """A package that the design confines is imported nowhere else, and heavy ones never at the top level outside of training."""
    relative = str(path.relative_to(ROOT))
    for name, top in imports(path):
        package = name.split(".")[0]
        if package in CONFINED:
            assert relative.startswith(CONFINED[package]), f"{relative} must not import {package}"
        if package in LAZY and not relative.startswith(("classifiers/train/", "classifiers/evaluate/")):
            assert not top, f"{relative} imports {package} at the top level"


@pytest.mark.parametrize("path", sources("gateway"), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_rooms_have_no_io_and_no_clock(path: Path) -> None:
    """Parsers, views and the hold-back machine cannot wait, look at a clock or open anything."""
    if room(module(path)) in PURE:
        assert not {name.split(".")[0] for name, _ in imports(path)} & IMPURE, path


def test_nobody_imports_the_outer_rooms() -> None:
    """app, edge, cli, console and demo are imported by each other only."""
    for path in sources("gateway", "classifiers"):
        if room(module(path)) in NOBODY_IMPORTS | {"__main__"}:
            continue
        for name, _ in imports(path):
            assert not (ours(name) and room(name) in NOBODY_IMPORTS), f"{path} imports {name}"


@pytest.mark.parametrize(
    "path", sources("gateway", "classifiers", "tests", "loadtests"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_and_functions_stay_small(path: Path) -> None:
    """No file over 400 lines, no function over 60."""
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES, f"{path} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_every_source_file_has_its_test_file() -> None:
    """Source and test trees mirror each other; what has no twin is listed here with its reason."""
    missing = []
    for path in sources("gateway", "classifiers"):
        relative = path.relative_to(ROOT)
        has_code = any(
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            for node in ast.parse(path.read_text()).body
        )
        if path.name.startswith("__") or not has_code or str(relative) in UNPAIRED:
            continue
        if not (ROOT / "tests" / relative.parent / f"test_{path.name}").exists():
            missing.append(str(relative))
    assert not missing, f"without a twin test: {missing}"


def test_listed_debt_still_exists() -> None:
    """A file on the list of unpaired files exists and still has no twin."""
    for name in UNPAIRED:
        path = Path(name)
        assert (ROOT / path).exists(), name
        assert not (ROOT / "tests" / path.parent / f"test_{path.name}").exists(), name


def test_no_base_http_middleware_and_no_hidden_names() -> None:
    """BaseHTTPMiddleware costs 240 us a request and hides disconnects; files named utils or common hide everything."""
    for path in sources("gateway", "classifiers"):
        assert "BaseHTTPMiddleware" not in path.read_text(), path
        assert path.stem not in {"utils", "common", "helpers", "misc"}, path


def test_no_module_level_mutable_state() -> None:
    """No ``global`` statement anywhere."""
    for path in sources("gateway", "classifiers"):
        assert not any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(path.read_text()))), path


@pytest.mark.parametrize("path", sources("tests"), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_states_its_claim(path: Path) -> None:
    """Each test function has a docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name} states no claim"


def test_the_default_install_has_no_torch() -> None:
    """The gateway runs without torch and transformers, and imports none of them."""
    assert "torch" not in sys.modules
    project = (ROOT / "pyproject.toml").read_text()
    default = project.split("dependencies = [")[1].split("]")[0]
    assert "torch" not in default
    assert "transformers" not in default
