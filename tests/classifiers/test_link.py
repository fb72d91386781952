"""The gateway's end of a screener, without a process: frames in, what becomes of the questions out."""

from __future__ import annotations

import asyncio
from types import MappingProxyType

import pytest

from classifiers.base import (
    Card,
    ClassifierArtefact,
    ClassifierInvalid,
    ClassifierUnavailable,
    Loss,
    OverBudget,
    Window,
)
from classifiers.frames import Drop, Failed, Found, Frames, Hello, Over, Part, Ping, Pong, Refused, Reply, Span, frame
from classifiers.job import WHOLE, Share, Sweep
from classifiers.link import FRAMES_AT_ONCE, Link, Work

CARD = Card("fake", "1", ("cbrn",), MappingProxyType({"cbrn.block": 0.05}), 64, 32, "0" * 64)
DATA = b"the frame of the work"


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
async def link() -> Link:
    made = Link(CARD, asyncio.get_running_loop())
    made.connection_made(Wire())
    tell(made, Hello(CARD.digest))
    await made.hello
    return made


def wire(link: Link) -> Wire:
    """Its transport."""
    assert isinstance(link._transport, Wire)
    return link._transport


def tell(link: Link, *messages: Reply) -> None:
    """What the screener says."""
    link.data_received(b"".join(map(frame, messages)))


def work(number: int = 1, *lengths: int, limit: int = 9, share: Share = WHOLE) -> Work:
    """Work on texts of these lengths."""
    return Work(number, DATA, lengths or (10,), limit, share, 7)


def spans(*places: tuple[int, int]) -> tuple[Span, ...]:
    """Windows at these places."""
    return tuple((start, end, (0.5,)) for start, end in places)


async def test_an_answer_is_put_together(link: Link) -> None:
    """Over several parts and texts, an empty one among them."""
    question = link.ask(work(1, 10, 0, 4))
    assert (wire(link).written, link.load) == (DATA, 7)
    tell(link, Found(1, (2, 0, 1), (20, 0, 3)), Part(1, spans((0, 6))), Part(1, spans((5, 10), (0, 4))))
    windows = (Window(0, 6, (0.5,)), Window(5, 10, (0.5,)), Window(0, 4, (0.5,)))
    assert await question.answer == Sweep((2, 0, 1), (20, 0, 3), windows)
    assert link.load == 0


async def test_only_empty_texts_and_empty_shares_have_no_parts(link: Link) -> None:
    """The counts complete them."""
    question, share = link.ask(work(1, 0, 0)), link.ask(work(2, 4, share=Share(0, 2)))
    tell(link, Found(1, (0, 0), (0, 0)), Found(2, (1,), (3,)))
    assert (await question.answer).windows == (await share.answer).windows == ()


async def test_a_share_has_its_windows_only(link: Link) -> None:
    """Its first window follows one that another screener has."""
    question = link.ask(work(1, 10, share=Share(1, 2)))
    tell(link, Found(1, (2,), (20,)), Part(1, spans((5, 10))))
    assert len((await question.answer).windows) == 1


@pytest.mark.parametrize(
    "reply",
    [
        (Found(1, (1, 1), (9, 9)),),
        (Found(1, (1,), (9, 9)),),
        (Found(1, (0,), (9,)),),
        (Found(1, (-1,), (9,)),),
        (Found(1, (1,), (-9,)),),
        (Found(1, (10,), (9,)),),
        (Found(1, (2,), (9,)), Found(1, (2,), (9,))),
        (Part(1, spans((0, 10))),),
        (Found(1, (1,), (9,)), Part(1, spans((0, 9)))),
        (Found(1, (1,), (9,)), Part(1, spans((1, 10)))),
        (Found(1, (1,), (9,)), Part(1, spans((0, 11)))),
        (Found(1, (2,), (9,)), Part(1, spans((0, 4), (5, 10)))),
        (Found(1, (2,), (9,)), Part(1, spans((0, 4))), Part(1, spans((4, 3)))),
        (Found(1, (1,), (9,)), Part(1, spans((0, 10), (0, 10)))),
        (Found(1, (1,), (9,)), Part(1, ((0, 10, (0.5, 0.5)),))),
        (Found(1, (1,), (9,)), Part(1, ((0, 10, (1.5,)),))),
        (Over(1, 9),),
    ],
    ids=lambda reply: " ".join(str(list(map(str, reply))).split())[:60],
)
async def test_an_answer_that_cannot_be_ends_the_screener(link: Link, reply: tuple[Reply, ...]) -> None:
    """Counts, places, overlaps and scores are checked; the question fails as nonsense."""
    question = link.ask(work())
    tell(link, *reply)
    assert link.ended.result() is Loss.NONSENSE
    assert wire(link).aborted
    with pytest.raises(ClassifierInvalid):
        await question.answer


async def test_refusals_and_failures_reach_the_question(link: Link) -> None:
    """Over the limit, invalid and unavailable, each as its error; the screener goes on."""
    for reply, error in (
        (Over(1, 10), OverBudget),
        (Failed(1, "invalid", "why"), ClassifierInvalid),
        (Failed(1, "unavailable", "why"), ClassifierUnavailable),
    ):
        question = link.ask(work())
        tell(link, reply)
        with pytest.raises(error):
            await question.answer
    assert not link.ended.done()


@pytest.mark.parametrize("hello", [Hello("1" * 64), Refused("another digest")])
async def test_other_weights_are_refused(hello: Reply) -> None:
    """Before any work."""
    link = Link(CARD, asyncio.get_running_loop())
    link.connection_made(Wire())
    tell(link, hello)
    assert link.ended.result() is Loss.REFUSED
    with pytest.raises(ClassifierArtefact):
        await link.hello


async def test_a_lost_connection_fails_what_is_open(link: Link) -> None:
    """What is asked afterwards fails too, and what arrives late changes nothing."""
    question = link.ask(work())
    link.connection_lost(None)
    tell(link, Found(1, (1,), (9,)))
    link.beat(1, 9)
    for one in (question, link.ask(work(2))):
        with pytest.raises(ClassifierUnavailable):
            await one.answer
    assert link.ended.result() is Loss.DIED


async def test_a_dropped_question_is_told_and_its_answer_ignored(link: Link) -> None:
    """The screener is told once; an answer on its way does no harm."""
    question = link.ask(work())
    link.drop(question)
    link.drop(question)
    assert wire(link).written == DATA + frame(Drop(1))
    tell(link, Found(1, (9, 9, 9), (9,)))
    assert not link.ended.done()


async def test_silence_casts_doubt_and_then_ends(link: Link) -> None:
    """Each beat asks; beyond the first bound the question is doubted, beyond the second the screener is given up."""
    question = link.ask(work())
    for _ in range(3):
        link.beat(2, 4)
        assert not question.doubt.done()
    link.beat(2, 4)
    assert question.doubt.done()
    link.beat(2, 4)
    assert not link.ended.done()
    link.beat(2, 4)
    assert link.ended.result() is Loss.HUNG
    frames = Frames.requests()
    frames.feed(wire(link).written.removeprefix(DATA))
    assert list(frames.messages()) == [Ping()] * 5
    with pytest.raises(ClassifierUnavailable, match="hung"):
        await question.answer


@pytest.mark.parametrize(
    ("pongs", "asked", "silent"),
    [
        ([Pong(5, True)] * 3, True, 3),
        ([Pong(5, False)] * 3, True, 3),
        ([Pong(5, True)] * 3, False, 3),
        ([Pong(5, False)] * 3, False, 0),
        ([Pong(5, True), Pong(6, True), Pong(7, True)], True, 0),
    ],
)
async def test_a_sign_of_life_without_progress_is_silence(
    link: Link, pongs: list[Pong], asked: bool, silent: int
) -> None:
    """Unless nothing is to be done: a thread that hangs in the model does not keep its process from answering."""
    tell(link, Pong(5, False))
    if asked:
        link.ask(work())
    for pong in pongs:
        link.beat(9, 9)
        tell(link, pong)
    assert link.silent == silent


async def test_long_answers_are_taken_in_turns(link: Link) -> None:
    """A few messages at a time; the others wait for the loop and are not lost."""
    parts = [Part(1, spans((index, index + 1))) for index in range(5 * FRAMES_AT_ONCE)]
    question = link.ask(work(1, len(parts), limit=99))
    tell(link, Found(1, (len(parts),), (9,)), *parts)
    assert not question.answer.done()
    assert len((await question.answer).windows) == len(parts)
