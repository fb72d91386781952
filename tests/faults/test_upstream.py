"""A model server that fails in every way: a typed error and a row, none of its raw bytes, and served again after it."""

from __future__ import annotations

import gzip
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support.canary import CANARY
from support.faulting import Heard, Scene, scene, stream
from support.loops import looping, speaks
from support.running import flags, gateway, until

from gateway.demo.answers import Said, openai_unary
from gateway.demo.scripted import (
    Close,
    Handler,
    Recorded,
    Reset,
    Script,
    ScriptedUpstream,
    Send,
    Sleep,
    Until,
    chunk,
    head,
    unary,
)
from gateway.demo.upstream import free_port

HTML = f"<html><h1>Internal error</h1>{CANARY}</html>".encode()
WHOLE = openai_unary(Said(("The harbour lies still.",)))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway for all these faults; each test leaves it serving."""
    limits = {"answer": "64KiB"}
    deadlines = {"first_byte": 3, "idle": 3, "total": 6}
    with scene(tmp_path_factory.mktemp("upstream"), limits=limits, deadlines=deadlines) as made:
        yield made


def with_header(script: Script, line: bytes) -> Script:
    """The same answer with a header more."""
    first, *rest = script
    assert isinstance(first, Send)
    return (Send(re.sub(rb"\r\n", b"\r\n" + line + b"\r\n", first.data, count=1)), *rest)


# What the model server does, to a unary and to a streamed request alike; and what the client is told.
HEADLESS: dict[str, tuple[Script, int]] = {
    "reset_before_the_head": ((Reset(),), 502),
    "closed_before_the_head": ((Close(),), 502),
    "half_a_head": ((Send(b"HTTP/1.1 200 OK\r\ncontent-ty"), Close()), 502),
    "no_http": ((Send(CANARY.encode() + b"\r\n\r\n"), Close()), 502),
    "5xx_html": (unary(HTML, 500, "text/html"), 502),
    "503_json": (unary(b'{"error":"' + CANARY.encode() + b'"}', 503), 502),
    "429": (with_header(unary(HTML, 429, "text/html"), b"retry-after: 7"), 429),
    "wrong_content_type": (unary(HTML, 200, "text/html"), 502),
    "redirect": (with_header(unary(HTML, 302), b"location: http://127.0.0.1:9/"), 502),
    "compressed": (with_header(unary(gzip.compress(WHOLE)), b"content-encoding: gzip"), 502),
    "interim_noise_without_an_end": ((Send(b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" * 200), Close()), 502),
}


@pytest.mark.parametrize("case", HEADLESS)
def test_an_answer_that_cannot_begin(one: Scene, case: str) -> None:
    """The client gets our own error, the row says upstream_failed with nothing released, and the next exchange is served."""
    script, status = HEADLESS[case]
    one.upstream.script(script)
    failed = one.total("requests_total", outcome="upstream_failed")
    for streaming in (False, True):
        row, answer = one.outcome(partial(one.running.chat, stream=streaming))
        assert (answer.status_code, row["status"], row["outcome"]) == (status, status, "upstream_failed")
        assert (row["released"], CANARY in answer.text) == (0, False)
        assert answer.json()["error"]["type"] == ("rate_limit_error" if status == 429 else "api_error")
        assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    until(lambda: one.total("requests_total", outcome="upstream_failed") == failed + 2)
    one.served()


UNARY: dict[str, Script] = {
    "not_json": unary(HTML),
    "another_shape": unary(b'{"error":{"message":"' + CANARY.encode() + b'"}}'),
    "cut_short": (Send(head(length=len(WHOLE)) + WHOLE[:-20]), Reset()),
    "duplicate_keys": unary(WHOLE[:-1] + b',"choices":[]}'),
}


@pytest.mark.parametrize("case", UNARY)
def test_a_whole_answer_that_is_none(one: Scene, case: str) -> None:
    """A body that is no chat completion is 502, and not a byte of it reaches the client."""
    one.upstream.script(UNARY[case])
    row, answer = one.outcome(one.running.chat)
    assert (answer.status_code, row["outcome"], row["released"]) == (502, "upstream_failed", 0)
    assert "harbour" not in answer.text
    assert CANARY not in answer.text
    one.served()


def broken_off(heard: Heard, *end: Sleep | Send | Reset | Close) -> Handler:
    """A stream that goes wrong after the client has heard the beginning of it."""

    def answer(request: Recorded) -> Script:
        whole = speaks(Said(("The boats come back with the tide. ",) * 12))(request)
        return (*whole[:9], Until(heard), *end)  # type: ignore[arg-type]  # it has the one method that is used

    return answer


STREAMS: dict[str, tuple[Sleep | Send | Reset | Close, ...]] = {
    "reset_mid_stream": (Reset(),),
    "closed_mid_stream": (Close(),),
    "malformed_sse": (Send(chunk(b"data: {" + CANARY.encode() + b"\n\n")),),
    "not_an_event": (Send(chunk(b"<html>" + CANARY.encode() + b"</html>\n\n")), Send(chunk(b""))),
    "broken_chunk": (Send(b"zz\r\n" + CANARY.encode() + b"\r\n"),),
    "no_end": (Send(chunk(b"")),),
    "slow_body": (Sleep(60),),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_that_breaks(one: Scene, case: str) -> None:
    """The client has an error event and no proper end, nothing uncleared and nothing raw; the row says so; served again after."""
    heard = Heard()
    one.upstream.script(broken_off(heard, *STREAMS[case]))
    row, got = one.outcome(lambda: stream(one.running, heard))
    assert b"boats" in got
    assert (b'"error"' in got, b"[DONE]" in got, CANARY.encode() in got) == (True, False, False)
    assert (row["outcome"], row["finish"], row["status"]) == ("upstream_failed", "error", 200)
    assert int(row["released"]) <= int(row["scanned"])
    one.served()


def test_a_slow_head(one: Scene) -> None:
    """A model server that does not begin to answer is 504 at its deadline, and its connection is closed."""
    one.upstream.script((Sleep(60),))
    row, answer = one.outcome(one.running.chat)
    assert (answer.status_code, row["outcome"], row["status"]) == (504, "upstream_failed", 504)
    until(one.upstream.requests[-1].left.is_set)
    one.served()


def test_a_trickle_ends_at_the_total_deadline(one: Scene) -> None:
    """An answer that keeps coming in small pieces, each in time, ends all the same, and the model server is let go."""
    one.upstream.script(speaks(Said(("word ",) * 600), pace=0.2))
    row, got = one.outcome(lambda: stream(one.running))
    assert (b"[DONE]" in got, row["outcome"], row["finish"]) == (False, "upstream_failed", "error")
    until(one.upstream.requests[-1].left.is_set)
    one.served()


def test_a_never_ending_answer_is_cut_at_its_limit(one: Scene) -> None:
    """An answer without an end is cut at limits.answer; what was released stays below it."""
    one.upstream.script(speaks(Said(("The tide comes and goes. " * 40,) * 400)))
    row, got = one.outcome(lambda: stream(one.running))
    assert (b"[DONE]" in got, row["outcome"], row["finish"]) == (False, "upstream_failed", "error")
    assert int(row["released"]) <= 64 * 1024
    one.served()


def test_interim_responses_are_noise(one: Scene) -> None:
    """1xx responses before the answer are skipped; none of their headers reaches the client, the answer does."""
    noise = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    one.upstream.script((Send(noise + head(length=len(WHOLE)) + WHOLE),))
    answer = one.running.chat()
    assert (answer.status_code, "link" in answer.headers, "harbour" in answer.text) == (200, False, True)
    one.served()


def test_a_second_response_is_never_read(one: Scene) -> None:
    """Bytes behind a complete response are not the answer to the next request; their connection is not used again."""
    second = unary(openai_unary(Said((CANARY,))))
    assert isinstance(second[0], Send)
    one.upstream.script((Send(head(length=len(WHOLE)) + WHOLE + second[0].data),))
    before = one.upstream.connections
    texts = [one.running.chat().text for _ in range(3)]
    assert all("harbour" in text and CANARY not in text for text in texts)
    assert one.upstream.connections - before >= 2
    one.served()


def test_gone_between_requests(one: Scene) -> None:
    """A kept connection that the model server has closed costs no exchange: the next one takes another."""
    for _ in range(3):
        one.upstream.script((Send(head(length=len(WHOLE)) + WHOLE), Close()))
        assert one.running.chat().status_code == 200
        until(lambda: one.upstream.open == 0)
    one.served()


def test_a_model_server_that_is_not_there(tmp_path: Path) -> None:
    """A refused connection is 502 with an intent and an outcome row; once the server listens, the same gateway serves."""
    port, state = free_port(), tmp_path / "state"
    with gateway(state, flags(f"http://127.0.0.1:{port}", state)) as running, looping() as loop:
        made = Scene(running, ScriptedUpstream(port=port))
        row, answer = made.outcome(running.chat)
        assert (answer.status_code, row["outcome"], row["status"]) == (502, "upstream_failed", 502)
        assert len(made.rows("intent")) == 1
        loop.run(made.upstream.__aenter__())
        try:
            made.served()
        finally:
            loop.run(made.upstream.__aexit__(None, None, None))


def reloaded(one: Scene, path: Path, text: str) -> None:
    """Another configuration, in force."""
    before = one.running.log().count('"reloaded"')
    path.write_text(text)
    one.running.process.send_signal(signal.SIGHUP)
    until(lambda: one.running.log().count('"reloaded"') > before)


def test_a_model_server_without_an_address(tmp_path: Path) -> None:
    """A name that does not resolve is a typed error and a row; with the name mended, a reload is enough."""
    with scene(tmp_path) as one:
        path = tmp_path / "gateway.yaml"
        good = path.read_text()
        reloaded(one, path, good.replace("http://127.0.0.1", "http://model.invalid"))
        row, answer = one.outcome(one.running.chat)
        assert (row["outcome"], answer.status_code in {502, 504}) == ("upstream_failed", True)
        reloaded(one, path, good)
        one.served()


def test_the_screening_outlives_every_fault(one: Scene) -> None:
    """The same gateway that met the faults above still blocks the phrase in an answer."""
    one.upstream.script(speaks(Said((f"Now the {CANARY} follows. ",))))
    row, got = one.outcome(lambda: stream(one.running))
    assert (CANARY.encode() in got, row["outcome"]) == (False, "blocked_output")
    one.served()
