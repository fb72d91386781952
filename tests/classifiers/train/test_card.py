from __future__ import annotations

import hashlib
import json
from pathlib import Path

from classifiers.train.card import SOURCES, digest, write_card, write_notice


def test_card_pins_the_named_files(tmp_path: Path) -> None:
    """The digest that is returned is that of the card, and the card holds those of the files."""
    (tmp_path / "head.json").write_bytes(b"head")
    found = write_card(tmp_path, {"id": "x"}, ["head.json"])
    content = (tmp_path / "card.json").read_bytes()
    assert found == digest(content) == hashlib.sha256(content).hexdigest()
    card = json.loads(content)
    assert card["files"] == {"head.json": digest(b"head")}
    assert card["id"] == "x"
    assert card["limits"]


def test_notice_names_every_source(tmp_path: Path) -> None:
    """Each data source stands there with its licence, beside the model's."""
    write_notice(tmp_path)
    notice = (tmp_path / "NOTICE").read_text()
    assert "Apache License 2.0" in notice
    for name, licence in SOURCES.items():
        assert f"- {name}: {licence}\n" in notice
