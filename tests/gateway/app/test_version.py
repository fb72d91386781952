"""What build this is."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from gateway.app import version
from gateway.app.version import NAME, build_info


def test_a_build_has_name_version_and_python() -> None:
    """The facts that a report of a fault needs."""
    info = build_info()
    assert set(info) == {"name", "version", "commit", "dirty", "python"}
    assert (info["name"], info["python"]) == (NAME, platform.python_version())


def test_a_checkout_knows_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is git's, and an edited file makes the build dirty."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.test")
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "one")):
        (tmp_path / "a").write_text("1")
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, timeout=30)
    monkeypatch.setattr(version, "__file__", str(tmp_path / "gateway" / "app" / "version.py"))
    info = build_info()
    assert (len(str(info["commit"])), info["dirty"]) == (40, False)
    (tmp_path / "a").write_text("2")
    assert build_info()["dirty"] is True


def test_an_installed_wheel_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a repository around it the commit is none."""
    monkeypatch.setattr(version, "__file__", str(tmp_path / "a" / "b" / "version.py"))
    assert (build_info()["commit"], build_info()["dirty"]) == ("none", False)


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or failing git is not a fault of the gateway."""
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(version, "__file__", str(tmp_path / "a" / "b" / "version.py"))
    assert build_info()["commit"] == "none"
    monkeypatch.setenv("PATH", "")
    assert build_info()["commit"] == "none"
