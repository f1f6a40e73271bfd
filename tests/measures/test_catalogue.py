import subprocess
import sys

import pytest

from genera.errors import GeneraError
from genera.measures.catalogue import CATALOGUE, definition


def test_every_definition_is_whole():
    for name, entry in CATALOGUE.items():
        assert entry.better in ("higher", "lower", "neither")
        assert all((entry.title, entry.unit, entry.group)), name
        assert len(entry.text) > 20, name
        assert "{" not in definition(name).text


@pytest.mark.parametrize(
    "short", ["elbo", "reconstruction", "kl", "iw_bound", "ppl_word", "ppl_token", "mi", "mi_ceiling", "au"]
)
def test_the_names_of_the_field_are_known(short):
    assert definition(short).text


def test_a_bound_names_its_number_of_samples():
    entry = definition("iw_bound_500")
    assert entry.name == "iw_bound_500"
    assert "500" in entry.title
    assert "500" in entry.text
    with pytest.raises(GeneraError):
        definition("iw_bound_0")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(GeneraError, match="did you mean ppl_word"):
        definition("ppl_words")


def test_the_catalogue_and_the_diagnosis_start_without_torch():
    code = "import sys, genera.measures.catalogue, genera.measures.diagnosis; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
