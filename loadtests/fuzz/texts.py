"""Target: the views of a text. Total, bounded, and the same for a stream as for its whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.exchange import Channel, Leaf, Origin, Role
from gateway.text.decode import decode, suspicious
from gateway.text.incremental import Normaliser
from gateway.text.normal import normal
from gateway.text.runs import Runs
from gateway.text.skeleton import skeleton
from gateway.text.views import DEPTH, EXPANSION, exchange_views, views
from loadtests.fuzz.cuts import pieces


def text_views(data: bytes, normaliser: Callable[[], Any] = Normaliser) -> None:
    """Every view of any text is made, is bounded, and does not depend on how a stream is cut."""
    text = data.decode("utf-8", "replace")
    parts = pieces(text)
    made = views(text)
    assert made[0].text == text
    assert len(made) <= 1 + DEPTH
    assert all(len(view.text) <= max(1, EXPANSION * len(text)) for view in made)
    assert suspicious(text) or decode(text) is None, "something was decoded in a text that is not suspicious"
    incremental = normaliser()
    assert "".join([*map(incremental.feed, parts), incremental.flush()]) == normal(text), (
        "a stream normalises otherwise"
    )
    assert regions(parts) == regions([text]), "regions depend on cuts"
    assert "".join(map(skeleton, parts)) == skeleton(text), "a skeleton depends on cuts"
    joined(parts)


def regions(parts: list[str]) -> list[str]:
    """The runs that look encoded; what is held never moves back."""
    runs, found, held, seen = Runs(), [], 0, 0
    for part in parts:
        found += runs.feed(part)
        seen += len(part)
        assert held <= runs.held <= seen, "what is held moves back, or beyond the text"
        held = runs.held
    return found + runs.flush()


def joined(parts: list[str]) -> None:
    """All readings of a request made of these parts: each leaf by itself, and all of them joined."""
    leaves = [
        Leaf(f"messages[{place // 2}].content[{place}].text", part, Role.USER, Channel.CONTENT, Origin.USER, new=True)
        for place, part in enumerate(parts[:8])
    ]
    readings = list(exchange_views(leaves))
    originals = [reading.view.text for reading in readings if reading.view.name == "original"]
    assert originals == [leaf.text for leaf in leaves], "a leaf is not read"
    whole = "".join(originals)
    assert len(leaves) < 2 or any(reading.view.text == whole for reading in readings), "the joined text is not read"
