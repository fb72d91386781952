"""The ``lexicon`` control: the stricter, cruder substitute for the classifier screens.

It flags the mere mention of weapons of mass destruction and of what they are made of, so it refuses historians and nurses too: that is
the price of staying strict while a classifier is down. Names of things only; nothing here says how anything is done.
"""

from __future__ import annotations

from gateway.controls.matched import MatchingControl
from gateway.exchange import Direction
from gateway.terms import Rule, RuleSet
from gateway.verdict import Reason

# At least ten letters each, so they are found in every view, also with separators, look-alikes or line breaks between the letters.
_PHRASES = (
    "nerve agent",
    "blister agent",
    "choking agent",
    "chemical weapon",
    "chemical warfare",
    "chemical agent precursor",
    "toxic agent dispersal",
    "biological weapon",
    "biological warfare",
    "biological agent dispersal",
    "weaponized pathogen",
    "weaponised pathogen",
    "pathogen enhancement",
    "enhanced pathogen",
    "enhance transmissibility",
    "enhanced transmissibility",
    "increase transmissibility",
    "enhance virulence",
    "gain of function",
    "immune evasion mutation",
    "botulinum toxin",
    "bacillus anthracis",
    "yersinia pestis",
    "francisella tularensis",
    "variola virus",
    "variola major",
    "marburg virus",
    "ebola virus",
    "pandemic pathogen",
    "mustard gas",
    "sulfur mustard",
    "sulphur mustard",
    "nitrogen mustard",
    "hydrogen cyanide",
    "radiological weapon",
    "radiological dispersal",
    "nuclear weapon",
    "nuclear warhead",
    "nuclear explosive",
    "nuclear device",
    "thermonuclear",
    "enrich uranium",
    "enriched uranium",
    "enriching uranium",
    "uranium enrichment",
    "enrichment cascade",
    "weapons grade",
    "weapon grade",
    "fissile material",
    "plutonium pit",
    "plutonium core",
    "implosion lens",
    "neutron initiator",
    "mass casualty",
    "weapon of mass destruction",
    "weapons of mass destruction",
)
# Shorter names, as whole words of the plain and the decoded views.
_WORDS = (
    r"weaponi[sz](?:e|es|ed|ing|ation)",
    r"aerosoli[sz](?:e|es|ed|ing|ation)",
    r"bio-?(?:weapon|terror|warfare)\w{0,6}",
    r"(?:sarin|tabun|soman|cyclosarin|novichoks?)",
    r"vx (?:agent|gas|nerve)",
    r"(?:ricin|abrin|saxitoxin|phosgene|lewisite)",
    r"(?:anthrax|smallpox|tularemia)",
    r"(?:dirty|nuclear|atomic|hydrogen) bombs?",
    r"(?:nuke|nukes|warheads?|fissile|plutonium|uf6|uranium hexafluoride)",
    r"organophosph\w{2,6}",
    r"(?:cbrn|wmds?)",
)


def _rule(place: int, *, literal: str | None = None, pattern: str | None = None) -> Rule:
    return Rule(
        f"lexicon-{place:03}", "cbrn", frozenset(Direction), literal, pattern, expires=0, reason="named in the lexicon"
    )


LEXICON = RuleSet(
    digest="lexicon-1",
    rules=(
        *(_rule(place, literal=phrase) for place, phrase in enumerate(_PHRASES, 1)),
        *(_rule(place, pattern=rf"\b{word}\b") for place, word in enumerate(_WORDS, 1 + len(_PHRASES))),
    ),
)


class LexiconControl(MatchingControl):
    """Blocks on mention, whatever the terms say. Compiled when built, so a fallback never waits."""

    def __init__(self) -> None:
        super().__init__("lexicon", Reason.LEXICON_MATCHED, lambda _terms: (LEXICON,))
        self.prepare(LEXICON)
