"""What every figure of an evaluation means: one definition each, for tables and reports. Imports no torch."""

import re
from dataclasses import replace

from genera.errors import unknown
from genera.measures.definition import Definition
from genera.measures.definitions_dialogue import DIALOGUE
from genera.measures.definitions_images import IMAGES, TRANSLATION
from genera.measures.definitions_navigation import NAVIGATION, UNSEEN
from genera.measures.definitions_text import TEXT

CATALOGUE = {d.name: d for d in (*TEXT, *DIALOGUE, *NAVIGATION, *IMAGES)}
"""Every definition under its name; a bound with K samples is named iw_bound_K, a figure of translations of one
direction NAME_a2b or NAME_b2a, and one of navigation in houses that training never enters NAME_unseen."""

_NAVIGATION = {d.name for d in NAVIGATION}


def definition(name: str) -> Definition:
    """The definition of a figure by its name (`iw_bound_K` for any K, `NAME_a2b`, `NAME_b2a`, `NAME_unseen`), or a
    GeneraError."""
    stem, _, way = name.rpartition("_")
    if way in ("a2b", "b2a") and stem in CATALOGUE:
        general = CATALOGUE[stem]
        title = f"{general.title}, {way[0].upper()} to {way[2].upper()}"
        return replace(general, name=name, title=title, group=TRANSLATION)
    if way == "unseen" and stem in _NAVIGATION:
        general = CATALOGUE[stem]
        return replace(general, name=name, title=f"{general.title}, unseen", group=UNSEEN)
    bound = re.fullmatch(r"iw_bound_([1-9]\d*)", name)
    if bound:
        general, samples = CATALOGUE["iw_bound"], bound[1]
        return replace(
            general,
            name=name,
            title=f"{general.title}, K = {samples}",
            text=general.text.replace("{K}", samples),
        )
    found = CATALOGUE.get(name)
    if found is None:
        raise unknown("measure", name, CATALOGUE)
    return replace(found, text=found.text.replace("{K}", "K"))
