"""How long text is held back by the real classifier, seen from a client of a running gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, cast

import httpx
import pytest
from support.running import CHAT, Running, question
from tokenizers import Tokenizer

import classifiers
from gateway.demo.answers import Said, openai_events
from gateway.demo.scripted import CHUNKED, Recorded, Script, Send, Sleep, Step, chunk, head

pytestmark = pytest.mark.xdist_group("e2e")
TOKENS = 400
RATE = 200.0
TEXT = (
    "Sourdough begins with a starter, a lively mix of flour and water that has been fed for several days. In the evening you stir "
    "a spoonful of it into fresh flour and leave the bowl on the counter. By morning the mixture has doubled and smells faintly of "
    "yoghurt. Now add the rest of the flour, water and salt, and fold the dough over itself every half hour while it rests. The folds "
    "build strength without any hard work. When the dough feels airy, shape it into a round loaf and let it cool overnight, which "
    "makes the crust darker and the taste deeper. Heat the oven with a heavy pot inside, tip the loaf in, cut the top once and bake "
    "it under the lid for twenty minutes. Then take off the lid and wait until the crust is the colour of chestnuts. Let the bread "
    "cool before you slice it, or the crumb will be sticky. "
    "On Sunday we cycled along the river to the old mill. The path is flat, with poplars on one side and meadows on the other, and "
    "in spring the whole valley is loud with frogs. We stopped at the lock to watch two boats go through, and a woman told us how her "
    "grandfather used to turn the gates by hand. The mill itself is a small museum now. Children may grind a handful of wheat and "
    "take the flour home in a paper bag. After lunch the clouds came over the hill, so we rode back faster than we had planned, and "
    "reached the station as the first drops fell. My brother had forgotten his lights, my sister had lost a glove, and I was hungry "
    "again. We bought tea and plum cake from the kiosk, counted the swans under the bridge, and agreed to come back in autumn, when "
    "the leaves turn and the river is high enough for the ferry. Next time we will bring a map, a pump and warmer clothes, and leave "
    "an hour earlier, because the last train on a Sunday is always full of people with bicycles, dogs and muddy boots. "
)


@dataclass
class Pace:
    """What the model server has said so far."""

    pieces: tuple[str, ...]
    sent: int = 0
    holds: list[int] = field(default_factory=list)
    first: int = 0

    def answer(self, request: Recorded) -> Script:
        """A stream of one token each 1/RATE seconds, counted as it goes."""
        return cast("Script", self._steps())  # a generator is played like a tuple, and knows when each step is due

    def _steps(self) -> Iterator[Step]:
        yield Send(head(content_type="text/event-stream", length=CHUNKED))
        for event in openai_events(Said(self.pieces)):
            yield Sleep(1 / RATE)
            self.sent += b'"content":"' in event and b'"content":""' not in event
            yield Send(chunk(event))
        yield Send(chunk(b""))

    def read(self, running: Running) -> str:
        """Read the stream as a client; for each token, how many the model server was ahead when it arrived."""
        text = ""
        with httpx.stream(
            "POST", running.data + CHAT, json=question(stream=True), timeout=30, trust_env=False
        ) as answer:
            for line in answer.iter_lines():
                if not line.startswith("data: {"):
                    continue
                piece = json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                if piece:
                    self._arrived(len(text), len(text) + len(piece))
                    text += piece
        return text

    def _arrived(self, start: int, end: int) -> None:
        self.first = self.first or self.sent
        at = 0
        for number, piece in enumerate(self.pieces):
            if start < at + len(piece) <= end:
                self.holds.append(self.sent - number - 1)
            at += len(piece)


def tokens(text: str) -> tuple[str, ...]:
    """The text, cut into the classifier's own tokens, each with the space before it."""
    folder = Path(classifiers.__file__).parent / "models" / "cbrn-minilm"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ends = [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]
    return tuple(text[start:end] for start, end in zip([0, *ends], ends, strict=False))


@pytest.fixture
def measured(stage: Any, record_property: Callable[[str, object], None]) -> Pace:
    """A benign answer of 400 tokens, read through the gateway with the real classifier."""
    pace = Pace(tokens(TEXT)[:TOKENS])
    stage.upstream.script(pace.answer)
    assert pace.read(stage.running) == "".join(pace.pieces)
    record_property("first_text_after_tokens", pace.first)
    record_property("median_hold_back_tokens", median(pace.holds))
    return pace


def test_benign_text_is_held_back_a_little(measured: Pace) -> None:
    """Of 400 benign tokens the first text leaves within 64 tokens of the model server, and the median hold-back is at most 48."""
    assert len(measured.pieces) == len(measured.holds) == measured.sent == TOKENS
    assert 0 < measured.first <= 64
    assert median(measured.holds) <= 48
