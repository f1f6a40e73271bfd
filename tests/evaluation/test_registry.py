import subprocess
import sys

import pytest

from genera.errors import GeneraError
from genera.evaluation.evaluator import Options
from genera.evaluation.registry import BUILT_IN, definition, definitions, evaluator, evaluators


def test_every_evaluator_is_registered_under_its_name():
    assert [known.name for known in map(evaluator, BUILT_IN)] == list(BUILT_IN)
    for known in evaluators().values():
        assert known.question.endswith(("?", "."))
        assert all(isinstance(need, type) for need in known.needs)


def test_shared_options_are_those_of_an_evaluator_that_has_its_own():
    for known in evaluators().values():
        if known.options_of:
            assert known.options is Options
            assert evaluator(known.options_of).options is not Options
            assert not evaluator(known.options_of).options_of
            assert set(known.items) <= set(evaluator(known.options_of).items)


def test_every_definition_is_whole():
    for name, entry in definitions().items():
        assert entry.better in ("higher", "lower", "neither")
        assert all((entry.title, entry.unit, entry.group)), name
        assert len(entry.text) > 20, name
        assert entry.text.endswith("."), name
        assert "{" not in entry.text


def test_evaluators_that_share_a_measure_mean_the_same():
    seen = {}
    for known in evaluators().values():
        for entry in known.measures:
            assert seen.setdefault(entry.name, entry) == entry


@pytest.mark.parametrize(
    "short",
    [
        "elbo",
        "reconstruction",
        "kl",
        "iw_bound",
        "ppl_word",
        "ppl_token",
        "ppl_token_bos_eos",
        "mi",
        "mi_ceiling",
        "au",
        "fid",
        "SR",
    ],
)
def test_the_names_of_the_field_are_known(short):
    assert definition(short).text


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(GeneraError, match="did you mean ppl_word"):
        definition("ppl_words")
    with pytest.raises(GeneraError, match="did you mean fidelity"):
        evaluator("fidelty")


def test_evaluators_and_their_rules_start_without_torch():
    code = (
        "import sys\n"
        "from genera.evaluation.evaluator import diagnose\n"
        "from genera.evaluation.registry import evaluators\n"
        "from genera.measures.schema import Figures\n"
        "diagnose(Figures([]), list(evaluators().values()))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
