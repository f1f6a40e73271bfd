import subprocess
import sys

import pytest

from genera.blocks.decoding_options import Decoding
from genera.blocks.size import GPT2_SMALL, TransformerSize
from genera.errors import GeneraError

TINY = {"layers": 1, "hidden": 8, "heads": 2, "feed_forward": 8, "vocabulary": 5, "positions": 4}


@pytest.mark.parametrize(
    "change",
    [{"layers": 0}, {"heads": 3}, {"vocabulary": -1}, {"positions": 0}, {"dropout": 1.0}, {"dropout": -0.1}],
)
def test_an_impossible_size_is_refused_by_name(change):
    TransformerSize(**TINY)
    with pytest.raises(GeneraError, match=next(iter(change))):
        TransformerSize(**(TINY | change))


@pytest.mark.parametrize(
    "change", [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1},
               {"max_tokens": 0}]
)  # fmt: skip
def test_an_impossible_decoding_is_refused_by_name(change):
    with pytest.raises(GeneraError, match=next(iter(change))):
        Decoding(**change)


def test_sizes_need_no_torch():
    code = "import sys, genera.blocks.size; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_gpt2_small_heads_are_64_wide():
    assert GPT2_SMALL.hidden // GPT2_SMALL.heads == 64
