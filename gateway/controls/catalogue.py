"""The explicit list of controls. A profile may name these and no others."""

from __future__ import annotations

from collections.abc import Sequence

from classifiers.base import Classifier
from gateway.controls.base import Control
from gateway.controls.halt import Halt
from gateway.controls.input_screen import HARM_ID, InputScreen
from gateway.controls.lexicon import LexiconControl
from gateway.controls.magic import WithMagic
from gateway.controls.output_screen import OutputScreen
from gateway.controls.rules import RulesControl


def controls(
    classifier: Classifier | None, rules: RulesControl | None = None, guards: Sequence[Control] = ()
) -> tuple[Control, ...]:
    """All controls, each but ``guards`` answering to its magic string. Without a classifier the three screens are absent.

    ``rules``: for a caller that compiles rule sets ahead of a new snapshot (``RulesControl.prepare``); else one is made.
    """
    listed: list[Control] = [Halt(), rules or RulesControl(), LexiconControl()]
    if classifier is not None:
        listed += [InputScreen(classifier), OutputScreen(classifier), InputScreen(classifier, HARM_ID, ())]
    return (*(WithMagic(control) for control in listed), *guards)
