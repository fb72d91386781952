from __future__ import annotations

import io

import numpy as np
import pytest

from classifiers.base import ClassifierArtefact
from classifiers.stage_zero import StageZero, score
from classifiers.windows import Span

# Token 0 is harmless, 1 suspicious of the first category, 2 of the second.
TOKENS = np.array([[-5000, -5000], [4000, -5000], [-5000, 4000]], np.int16)
CUT = np.array([-1000, -500], np.int32)


def spans(*ids: tuple[int, ...]) -> tuple[Span, ...]:
    return tuple(Span(index, index + 1, one) for index, one in enumerate(ids))


def stored(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def test_only_the_plainly_ordinary_is_cleared() -> None:
    """A window is cleared where the mean of its tokens is below the cut in every category; its score is that of the mean."""
    plain, first, second, mixed = StageZero(TOKENS, CUT).settle(spans((0, 0), (1, 0), (2, 0), (0,) * 9 + (1,)))
    assert plain.scores == (score(-5000), score(-5000))
    assert first.scores is None
    assert second.scores is None
    assert mixed.scores == (score(-4100), score(-5000))


def test_no_cleared_window_scores_above_the_most() -> None:
    """``most`` bounds every cleared score, which the loader holds against the card."""
    zero = StageZero(TOKENS, CUT)
    many = zero.settle(spans(*((0,) * zeros + (1,) for zeros in range(12))))
    cleared = [one.scores for one in many if one.scores is not None]
    assert 0 < len(cleared) < len(many)
    assert all(value <= most for scores in cleared for value, most in zip(scores, zero.most, strict=True))


def test_a_window_has_the_same_score_in_any_company() -> None:
    """Sums are whole numbers: neighbours change nothing."""
    zero = StageZero(TOKENS, CUT)
    (alone,) = zero.settle(spans((0, 1, 0, 0, 0, 0, 0)))
    company = zero.settle(spans((1,) * 30, (0, 1, 0, 0, 0, 0, 0), (2,) * 30))[1]
    assert alone.scores == company.scores


@pytest.mark.parametrize("ids", [(), (3,), (-1,), (999_999,)])
def test_what_the_table_does_not_know_is_not_cleared(ids: tuple[int, ...]) -> None:
    """No tokens at all, or tokens outside of the table, go to the encoder."""
    (one,) = StageZero(TOKENS, CUT).settle(spans(ids))
    assert one.scores is None


def test_nothing_to_settle() -> None:
    """No spans are no spans."""
    assert StageZero(TOKENS, CUT).settle(()) == ()


def test_loads_what_was_stored() -> None:
    """A table of the card's width comes back."""
    assert StageZero.load(stored(tokens=TOKENS, cut=CUT), 2).most == StageZero(TOKENS, CUT).most


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK nothing",
        stored(tokens=TOKENS),
        stored(tokens=TOKENS.astype(float), cut=CUT),
        stored(tokens=TOKENS[:0], cut=CUT),
        stored(tokens=TOKENS[:, :1], cut=CUT),
        stored(tokens=TOKENS, cut=CUT.astype(np.int64)),
        stored(tokens=TOKENS[0], cut=CUT),
        stored(tokens=TOKENS[:, :1], cut=CUT[:1]),
    ],
)
def test_refuses_what_is_no_table(content: bytes) -> None:
    """Whatever is wrong with the file, it is an artefact that is refused."""
    with pytest.raises(ClassifierArtefact, match=r"stage0\.npz"):
        StageZero.load(content, 2)


def test_refuses_pickles() -> None:
    """An array of objects is code, and is not loaded."""
    with pytest.raises(ClassifierArtefact):
        StageZero.load(stored(tokens=np.array([[object()]], object), cut=CUT), 2)
