"""The classifier beside a guide is the one that was fitted, after it was stored too."""

import numpy as np
import pytest
import torch

from genera import worlds
from genera.errors import GeneraError
from genera.measures.classifiers import PixelClassifier, TfidfClassifier
from genera.uses.judge import TENSORS, Judge

WORLD = worlds.load("captions-small")


@pytest.mark.parametrize("kind", ["text", "images"])
def test_a_stored_judge_judges_alike(kind, tmp_path):
    if kind == "text":
        items = WORLD.sentences(300)
        classes = np.array([WORLD.factors_of(item)["number"] == "plural" for item in items]).astype(int)
        classifier = TfidfClassifier(items)
    else:
        classes = np.arange(300) % 2
        items = list(
            torch.randn(300, 3, 4, 4, generator=torch.Generator().manual_seed(0))
            + torch.from_numpy(classes)[:, None, None, None]
        )
        classifier = PixelClassifier(items)
    judge = Judge(classifier.fit(np.arange(200), classes[:200]), 0.9)
    judge.save(tmp_path)
    again = Judge.load(tmp_path, kind)
    assert again.right == 0.9
    np.testing.assert_allclose(again.probability(items[200:], 1), judge.probability(items[200:], 1), atol=1e-6)
    assert ((again.probability(items[200:], 1) > 0.5) == classes[200:]).mean() > 0.9
    assert again.probability(items[:3], 7).tolist() == [0, 0, 0]
    (tmp_path / TENSORS).write_bytes(b"no tensors")
    with pytest.raises(GeneraError, match="is damaged; delete"):
        Judge.load(tmp_path, kind)
