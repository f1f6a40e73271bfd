"""De-tokenisers of benchmark files: the text reads naturally, and the tokens can be had back."""

import gzip
import os
import re
from pathlib import Path

import pytest

from genera.errors import GeneraError
from genera.measures.detokenise import DETOKENISERS, detokeniser

CASES = {
    "ptb": {
        "mr. <unk> says it does n't matter": "mr. <unk> says it doesn't matter",
        "abc 's shows and viewers ' opinions we 've seen": "abc's shows and viewers' opinions we've seen",
        "they ca n't pay $ N million": "they can't pay $N million",
    },
    "wikitext": {
        "= Homarus gammarus =": "= Homarus gammarus =",
        "up to 5 – 6 kg ( 11 – 13 lb ) , and 0 @.@ 7 – 2 @.@ 2 kg .": "up to 5 – 6 kg (11 – 13 lb), and 0.7 – 2.2 kg.",
        "1 @,@ 000 well @-@ known men ; the U.S. team 's": "1,000 well-known men; the U.S. team's",
        'The " <unk> " and the " cutter " , is it ?': 'The "<unk>" and the "cutter", is it?',
        "H. americanus of St. Louis in the U.S. .": "H. americanus of St. Louis in the U.S..",
        "I don 't know ( yet ) .": "I don't know (yet).",
    },
}


@pytest.mark.parametrize("name", CASES)
def test_texts_read_naturally_and_go_back(name):
    way = detokeniser(name)
    for tokens, text in CASES[name].items():
        assert way.text(tokens) == text
        assert way.tokens(text) == tokens


def test_an_unknown_name():
    with pytest.raises(GeneraError, match="unknown de-tokeniser 'ptp'; did you mean ptb"):
        detokeniser("ptp")


@pytest.mark.parametrize(
    ("name", "file", "share"),
    [("ptb", "ptb/ptb.valid.txt.gz", 1.0), ("wikitext", "wikitext2/wiki.valid.tokens.gz", 0.985)],
)
def test_the_real_files_can_be_restored(name, file, share):
    path = Path(os.environ.get("GENERA_DATA", "")) / file
    if not path.is_file():
        pytest.skip(f"GENERA_DATA has no {file}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [" ".join(line.split()) for line in lines if line.strip()]
    way = DETOKENISERS[name]
    written = [way.text(text) for text in texts]
    assert sum(way.tokens(w) == t for w, t in zip(written, texts, strict=True)) / len(texts) >= share
    assert sum(w != t for w, t in zip(written, texts, strict=True)) / len(texts) > 0.4  # it does something
    letters = [[re.sub(r"\W", "", one) for one in side] for side in (written, texts)]
    assert letters[0] == letters[1]  # no word is lost
