"""What weapons of mass destruction, and what they are made of, are called: names only, nothing about how anything is done.

The ``lexicon`` control blocks on them, and the classifiers are measured beside them: a text without any of them is one that a
lexicon misses.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# At least ten letters each, so they are found in every view, also with separators, look-alikes or line breaks between the letters.
PHRASES: Final = (
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
WORDS: Final = (
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
_MENTION: Final = re.compile(
    "|".join([*(re.escape(phrase) for phrase in PHRASES), *(rf"\b{word}\b" for word in WORDS)])
)


def mentions(text: str) -> bool:
    """Whether the plain text names one of them. The control sees more: decoded and reassembled views."""
    return _MENTION.search(unicodedata.normalize("NFKC", text).casefold()) is not None
