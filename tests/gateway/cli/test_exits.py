"""Exit codes and where words go."""

from __future__ import annotations

import json

import pytest
import typer

from gateway.cli.exits import Exit, document, fail, line, say


def test_the_codes_are_the_contracts() -> None:
    """Scripts rely on these numbers."""
    assert [int(code) for code in Exit] == [0, 1, 2, 3, 4, 5, 6]


def test_a_failure_speaks_on_stderr_and_names_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Message and next step go to stderr, nothing to stdout, and the code is kept."""
    with pytest.raises(typer.Exit) as caught:
        fail(Exit.PERMISSION, "no", do="ask")
    assert caught.value.exit_code == 4
    assert capsys.readouterr() == ("", "asl-gateway: no\n  ask\n")


def test_a_failure_without_a_next_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is added where nothing is to be done."""
    with pytest.raises(typer.Exit):
        fail(Exit.FAILURE, "no")
    assert capsys.readouterr().err == "asl-gateway: no\n"


def test_data_goes_to_stdout_as_one_sorted_document(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON document is one line with sorted keys; messages do not mix with it."""
    document({"b": 1, "a": [2]})
    line("more")
    say("a word")
    out, err = capsys.readouterr()
    assert out == '{"a": [2], "b": 1}\nmore\n'
    assert json.loads(out.splitlines()[0]) == {"a": [2], "b": 1}
    assert err == "a word\n"
