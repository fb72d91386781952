from __future__ import annotations

from pathlib import Path

from support.fake_classifier import FAKE_CARD

from classifiers.evaluate.figures import Scored
from classifiers.evaluate.plots import available, draw
from classifiers.evaluate.report import Texts, build

PNG = b"\x89PNG\r\n\x1a\n"
BENIGN = Scored("benign", "chat", "en", {"cbrn": 0.1, "other_harm": 0.0})
HARMFUL = Scored("cbrn_harmful", "red", "en", {"cbrn": 0.9, "other_harm": 0.0})


def test_draws_both_plots(tmp_path: Path) -> None:
    """With harmful and harmless texts there are two pictures, otherwise only the calibration."""
    assert available()
    for texts, names in (((BENIGN, HARMFUL), ["calibration.png", "roc.png"]), ((BENIGN,), ["calibration.png"])):
        both = Texts("cbrn", texts)
        drawn = draw(tmp_path / names[-1], both, build(FAKE_CARD, both, "t")["calibration"]["steps"])
        assert [path.name for path in drawn] == names
        assert all(path.read_bytes().startswith(PNG) for path in drawn)
