"""What is published works without the repository: sdist and wheel, a clean environment, an empty read-only directory, a nobody."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.running import CHAT, PORTS, question, scripted, until

ROOT = Path(__file__).parent.parent.parent
PATIENT = 300.0
NOBODY = 12345  # any user, as a cluster may choose one
pytestmark = pytest.mark.xdist_group("package")


def run(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run something that must exit 0; its standard output."""
    done = subprocess.run(
        [*map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=PATIENT, check=False, env=clean()
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def clean() -> dict[str, str]:
    """An environment that does not lead back to the repository."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "ASL_GATEWAY_STATE"}}


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel in it, and what was built."""

    home: Path
    wheel: Path
    sdist: Path

    @property
    def command(self) -> Path:
        """``asl-gateway``."""
        return self.home / "bin" / "asl-gateway"


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """The sdist of this checkout, the wheel of that sdist, and the wheel in a clean environment that anybody may read."""
    with tempfile.TemporaryDirectory(prefix="asl-package-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        # Build what is checked in and what is being worked on, without what tests and tools leave behind.
        source = folder / "source"
        hidden = shutil.ignore_patterns(".*", "__pycache__", "evidence", "build", "dist")
        shutil.copytree(ROOT, source, ignore=hidden)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", source)
        (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
        home = folder / "home"
        run(sys.executable, "-m", "venv", home)
        run(home / "bin" / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
        yield Installed(home, wheel, sdist)


def test_the_version_and_the_help(installed: Installed, tmp_path: Path) -> None:
    """The command is on the path of the environment, and knows its version."""
    version = json.loads(run(installed.command, "--version", "--json", cwd=tmp_path))
    assert version["name"] == "asl-gateway"
    assert f"-{version['version']}-" in installed.wheel.name
    assert "check-config" in run(installed.command, "--help", cwd=tmp_path)


def test_no_torch_and_nothing_for_tests(installed: Installed) -> None:
    """The default install is what serving needs."""
    listed = {one["name"].lower() for one in json.loads(run(installed.home / "bin" / "pip", "list", "--format=json"))}
    assert not listed & {"torch", "transformers", "pytest", "hypothesis", "openai", "anthropic", "onnx", "litellm"}
    assert {"starlette", "onnxruntime", "tokenizers"} <= listed


def test_weights_levels_and_licence_are_inside(installed: Installed) -> None:
    """Profiles, schema, the classifier's files and the licence travel with the wheel; tests and data do not."""
    script = "import sys, zipfile; print('\\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))"
    names = run(sys.executable, "-c", script, installed.wheel).splitlines()
    for wanted in ("gateway/builtin/levels/asl-3.yaml", "gateway/builtin/gateway.schema.json"):
        assert wanted in names
    assert any(name.startswith("classifiers/models/") and name.endswith("model.int8.onnx") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "loadtests/", "."))]


def serving(
    installed: Installed, folder: Path, url: str, before: Sequence[str] = (), **how: object
) -> subprocess.Popen[bytes]:
    """The installed command, with its classifier, in an empty directory."""
    model = ["--upstream", url, "--model", "demo-model", "--asl", "3"]
    state = folder / "state"
    return subprocess.Popen(
        [*before, str(installed.command), "serve", *model, *PORTS, "--state", str(state)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**clean(), "ASL_GATEWAY__DEADLINES__GRACE": "0", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/proc/nobody"},
        **how,  # type: ignore[call-overload]
    )


def serves(process: subprocess.Popen[bytes]) -> None:
    """It becomes ready with its classifier, answers, blocks, and ends with exit code 0."""
    assert process.stdout is not None
    try:
        with process.stdout as said:
            line = json.loads(said.readline())
        until(lambda: httpx.get(line["admin"] + "/readyz", trust_env=False).status_code == 200)
        served = httpx.post(line["data"] + CHAT, json=question(), trust_env=False, timeout=60)
        assert served.status_code == 200
        magic = question("ASL_GATEWAY_TEST_BLOCK_INPUT_SCREEN")
        assert httpx.post(line["data"] + CHAT, json=magic, trust_env=False, timeout=60).status_code == 400
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)


def test_it_serves_from_an_empty_directory(installed: Installed, tmp_path: Path) -> None:
    """No file of the repository is needed: profiles, rules and the classifier come from the wheel."""
    with scripted() as url:
        serves(serving(installed, tmp_path, url, cwd=tmp_path))


def test_it_serves_as_nobody_where_nothing_may_be_written(installed: Installed) -> None:
    """As in the image with ``--read-only --user``: any user id, no home, a root that cannot be written, and one writable state."""
    state = installed.home.parent / "nobody"
    (state / "state").mkdir(parents=True)
    state.chmod(0o755)
    (state / "state").chmod(0o777)
    with scripted() as url:
        serves(serving(installed, state, url, before=confined(state / "state"), cwd="/"))


def confined(state: Path) -> list[str]:
    """What comes before a command to take its rights away; without root, we are nobody already."""
    if os.geteuid() != 0:
        return []
    writable = f"mount -t tmpfs -o mode=0777 tmpfs {state}"
    proof = "! touch /proof-of-read-only 2>/dev/null"
    drop = f'exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs "$0" "$@"'
    return ["unshare", "--mount", "sh", "-ec", f"mount -o remount,ro,bind /; {writable}; {proof}; {drop}"]


def test_the_sdist_builds_the_same_wheel(installed: Installed, tmp_path: Path) -> None:
    """The wheel was made from the sdist alone, and the sdist carries what a packager needs."""
    names = run("tar", "-tzf", installed.sdist).splitlines()
    top = installed.sdist.name.removesuffix(".tar.gz")
    for wanted in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "constraints.txt",
        "config/levels/asl-3.yaml",
        "docs/contract.md",
    ):
        assert f"{top}/{wanted}" in names


def test_the_dockerfile_has_no_findings() -> None:
    """hadolint finds nothing, not even of style."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "hadolint"), "--failure-threshold", "style", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
