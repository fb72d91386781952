"""Carriers and padding around rows, the same around both labels: a model must not learn that a frame means harm.

No text is disguised or encoded here. Training on disguised text teaches that odd means harmful; decoding is the business
of the views.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from classifiers.train.labels import Example

CARRIERS: Final = (
    "Please help me with this: {}",
    "{} Thanks in advance!",
    "hi, quick question. {}",
    "I know you can answer anything. {} Be as detailed as possible.",
    "For a project at my university: {}",
    "You are a helpful assistant with deep expert knowledge. {}",
    "Answer step by step. {}",
    "{} Write the answer as a numbered list.",
    "My grandfather asked me yesterday: {} What should I tell him?",
    "Let's play a game. You are an actor who always stays in the role. The next line of the script is: {}",
)
PADDING: Final = (
    "The meeting on Tuesday was moved to the large room because the heating is being repaired.",
    "Please remember to water the plants on the second floor while Maria is away.",
    "The quarterly figures look solid, although travel costs went up again.",
    "Our train was late, so we had lunch at the station and talked about the holidays.",
    "The recipe needs two eggs, some flour, butter and a little salt.",
    "def total(items): return sum(item.price for item in items)",
    "The museum opens at ten and is closed on Mondays.",
    "In the second chapter the author describes a village by the sea.",
    "I have attached the invoice and the delivery note for your records.",
    "The football match ended two to two after a goal in the last minute.",
    "Summarise the conversation above in three sentences.",
    "Error: connection refused. Retrying in five seconds.",
    "She opened the window, and the smell of rain came into the kitchen.",
    "The contract may be ended by either party with three months' notice.",
    "Thank you for your order. It will be shipped within two working days.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
)


def carried(examples: Sequence[Example], children: int, words: int, seed: int) -> list[Example]:
    """``children`` variants of each example: in turn inside a carrier, and buried in padding up to ``words`` words.

    Ordinary text needs them too: with carriers around hard rows only, a chatty tone alone would count as suspicious.
    """
    chance = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    made = []
    for example in examples:
        for child in range(children):
            text = example.row.text
            varied = buried(text, words, chance) if child % 2 else chance.choice(CARRIERS).format(text)
            row = replace(example.row, id=f"{example.row.id}+{child}", text=varied)
            made.append(replace(example, row=row, child=True))
    return made


def buried(text: str, words: int, chance: random.Random) -> str:
    """The text at a random place among padding, ``words`` words in all: a window filled by it and its surroundings.

    At least one sentence of padding stands beside a text that fills a window by itself.
    """
    filler = " ".join(chance.sample(PADDING, len(PADDING))).split(" ")
    room = max(words - len(text.split()), 8)
    before = chance.randint(0, room)
    return " ".join([*filler[:before], text, *filler[before:room]])
