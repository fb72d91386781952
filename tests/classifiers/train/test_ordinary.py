from __future__ import annotations

from classifiers.train.ordinary import PIECE_CHARS, pieces


def test_pieces_are_bounded_and_split_by_document() -> None:
    """Both genres are there, one piece a document, no longer than a piece, the same every time, and some are held out."""
    found = pieces(30)
    assert found == pieces(30)
    for genre in ("code", "prose"):
        mine = [one for one in found if one.genre == genre]
        assert 0 < len(mine) <= 30
        assert len({one.document for one in mine}) == len(mine)
        assert {one.held for one in mine} == {True, False}
    assert all(0 < len(one.text) <= PIECE_CHARS for one in found)
