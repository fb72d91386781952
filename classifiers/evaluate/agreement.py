"""Two readings of the same texts: a sample without labels, and how far two readers agree beyond chance (Cohen's kappa).

A sheet is JSON: ``{"readings": {row id: ruling}}``; an empty ruling is one that has not been given. The texts stand in a sheet of
their own, which is not kept.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifiers.constitution.reader import Ruling
from classifiers.rows import DataError
from classifiers.train.authored import Authored

RULING_OF: Final[Mapping[str, Ruling]] = {
    "cbrn_harmful": Ruling.PROHIBITED,
    "dual_use": Ruling.DUAL_USE,
    "other_harmful": Ruling.OTHER_HARM,
    "cbrn_adjacent_benign": Ruling.FINE,
    "benign": Ruling.FINE,
}
SEED: Final = 20261125


@dataclass(frozen=True, slots=True)
class Agreement:
    """``agreed`` of ``total`` rows; ``kappa`` is 1 for full agreement, 0 for what chance gives; ``apart`` holds (id, one, other)."""

    total: int
    agreed: int
    kappa: float
    apart: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        share = self.agreed / self.total if self.total else 0.0
        head = f"{self.agreed}/{self.total} rows agree ({share:.1%}); Cohen's kappa {self.kappa:.3f}"
        return "\n".join([head, *(f"  {row}: {one} | {other}" for row, one, other in self.apart)])


def draw(texts: Sequence[Authored], count: int, seed: int = SEED) -> list[Authored]:
    """``count`` texts, author by author and kind by kind in proportion, in an order that says nothing; at most one of a pair.

    Raises DataError where there are not so many.
    """
    strata: dict[tuple[str, ...], list[Authored]] = defaultdict(list)
    for one in _one_of_each_pair(texts, seed):
        strata[one.author, one.row.lang, one.genre, one.row.label].append(one)
    total = sum(map(len, strata.values()))
    if count > total:
        raise DataError(f"{count} rows asked for, {total} without the other halves of pairs")
    chosen: list[Authored] = []
    for key, size in _sizes({key: len(members) for key, members in strata.items()}, count).items():
        chosen += sorted(strata[key], key=lambda one: _draw_key(one.row.id, seed))[:size]
    return sorted(chosen, key=lambda one: _draw_key("order" + one.row.id, seed))


def _one_of_each_pair(texts: Sequence[Authored], seed: int) -> list[Authored]:
    groups: dict[str, list[Authored]] = defaultdict(list)
    for one in texts:
        groups[one.row.group].append(one)
    chance = random.Random(seed)  # noqa: S311  the same sheet again from the same seed; nothing secret hangs on it
    return [chance.choice(groups[group]) for group in sorted(groups)]


def _sizes(strata: Mapping[tuple[str, ...], int], count: int) -> dict[tuple[str, ...], int]:
    """The rows of each stratum: its share of the count, the largest remainders rounded up."""
    total = sum(strata.values())
    exact = {key: count * size / total for key, size in strata.items()}
    sizes = {key: int(share) for key, share in exact.items()}
    left = count - sum(sizes.values())
    for key in sorted(exact, key=lambda key: (sizes[key] - exact[key], key))[:left]:
        sizes[key] += 1
    return sizes


def _draw_key(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def write_sheet(texts: Sequence[Authored], out: Path) -> None:
    """An empty sheet, and beside it the texts to be read, as ``.texts.jsonl``: ids, languages and texts, no labels, no authors."""
    empty = {
        "rulings": [ruling.value for ruling in Ruling],
        "readings": {one.row.id.split("-")[-1]: "" for one in texts},
    }
    rows = [{"id": one.row.id.split("-")[-1], "lang": one.row.lang, "text": one.row.text} for one in texts]
    out.write_text(json.dumps(empty, indent=1) + "\n")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    out.with_suffix(".texts.jsonl").write_text("".join(lines))


def read_sheet(path: Path) -> dict[str, str]:
    """The rulings of a filled sheet, by id. Raises DataError, also for one that is missing or unknown."""
    try:
        readings: dict[str, str] = json.loads(path.read_text())["readings"]
        given = {row: Ruling(ruling).value for row, ruling in readings.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a filled sheet: {error}") from error
    return given


def of_authors(texts: Sequence[Authored]) -> dict[str, str]:
    """What the authors say of their texts, as rulings by id: a reading like any other."""
    return {one.row.id.split("-")[-1]: RULING_OF[one.row.label].value for one in texts}


def agree(one: Mapping[str, str], other: Mapping[str, str]) -> Agreement:
    """The agreement over the rows that both have read. Raises DataError where there are none."""
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise DataError("the two readings share no row")
    apart = tuple((row, one[row], other[row]) for row in shared if one[row] != other[row])
    total, agreed = len(shared), len(shared) - len(apart)
    first, second = Counter(one[row] for row in shared), Counter(other[row] for row in shared)
    chance = sum(first[ruling] * second[ruling] for ruling in first) / total**2
    kappa = 1.0 if chance == 1.0 else (agreed / total - chance) / (1.0 - chance)
    return Agreement(total, agreed, kappa, apart)
