"""Text models of a size for tests, untrained, with weights large enough that every path matters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from genera import worlds
from genera.data.text.batches import TextBatch, collate
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.config import TrainConfig
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.methods.lm.config import Gpt2LmConfig
from genera.methods.lm.method import Lm
from genera.methods.optimus.config import OptimusConfig
from genera.methods.optimus.method import Optimus
from text_sizes import SIZE


@dataclass
class Text:
    """Sentences of unequal length, the tokenisers of their world, and them as a batch."""

    sentences: list[str]
    tokenisers: Tokenisers

    def batch(self) -> TextBatch:
        return collate(self.sentences, self.tokenisers)


@pytest.fixture(scope="session")
def text() -> Text:
    sentences = worlds.load("captions-small").sentences(500)
    tokenisers = Tokenisers(
        encoder=Tokeniser.train("wordpiece", lambda: sentences, 300),
        decoder=Tokeniser.train("bpe", lambda: sentences, 320),
    )
    return Text(sorted(sentences, key=len)[:480:60], tokenisers)


@pytest.fixture
def make_optimus(text: Text) -> Callable[..., Optimus]:
    def make(**options: Any) -> Optimus:
        config = OptimusConfig(**{"encoder": SIZE, "decoder": SIZE, "latent_size": 4, **options})
        return _lively(Optimus(config, text.tokenisers))

    return make


@pytest.fixture
def gpt2_lm(text: Text) -> Lm:
    return _lively(Lm(Gpt2LmConfig(decoder=SIZE), text.tokenisers))


def _lively(model: Any) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in nn.Module.parameters(model):
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def step_at() -> Callable[..., Step]:
    """step_at(progress, index) → a Step there; two of one place deal the same noise."""

    def at(progress: float, index: int = 0) -> Step:
        step = Step(TrainConfig(steps=10), Ranks(0, 1, torch.device("cpu")), {})
        step.begin(index, progress)
        return step

    return at
