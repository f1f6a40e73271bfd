"""Features of a frozen encoder: computed once for all sentences of a corpus, cached, and read by row."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genera.console import say, track
from genera.data.cache import build_once, cache_folder
from genera.data.streams import Bucketed
from genera.data.text.batches import TextBatch, gather
from genera.data.text.corpus import TextCorpus, hash_of
from genera.data.text.store import TokenStore
from genera.files import write_tensors
from genera.methods.optimus.model import OptimusNetwork

AT_ONCE = 256
"""Sentences encoded together."""
SPLITS = ("train", "valid")
"""Those that training reads."""


class FeatureCorpus:
    """A corpus whose batches hold features in place of the encoder's tokens."""

    def __init__(self, corpus: TextCorpus, features: dict[str, Tensor]) -> None:
        self.corpus, self.features = corpus, features
        self.assets, self.splits = corpus.assets, tuple(features)

    def size(self, split: str) -> int:
        return self.corpus.size(split)

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> "FeatureStream":
        stream = self.corpus.stream(split, batch_size, seed=seed, rank=rank, ranks=ranks)
        return FeatureStream(stream, self.features[split])


class FeatureStream:
    """The batches of a stream with features (N, H) by row."""

    def __init__(self, stream: Bucketed, features: Tensor) -> None:
        self.stream, self.features, self.steps_per_epoch = stream, features, stream.steps_per_epoch

    def batch(self, step: int) -> TextBatch:
        batch = self.stream.batch(step)
        assert isinstance(batch, TextBatch)
        return replace(batch, encoder=None, features=self.features[batch.ids])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def features_of(network: OptimusNetwork, corpus: TextCorpus) -> dict[str, Tensor]:
    """split → h (N, H) float32 of all its sentences. Cached by the content of the corpus and the encoder's weights."""
    sentences = corpus.split("train").folder.parent.name  # which names the content and the tokenisers
    folder = cache_folder() / f"features-{hash_of(sentences, _fingerprint(network))}"

    def build(temporary: Path) -> None:
        for split in SPLITS:
            h = _encoded(network, corpus.split(split), split)
            write_tensors(temporary / f"{split}.safetensors", {"features": h})

    build_once(folder, build)
    say(f"the encoder is frozen: features of {corpus.size('train'):,} training sentences are read from the cache.")
    return {split: _read(folder / f"{split}.safetensors") for split in SPLITS}


def _read(path: Path) -> Tensor:
    from safetensors.torch import load_file

    return load_file(path)["features"]


@torch.no_grad()
def _encoded(network: OptimusNetwork, store: TokenStore, split: str) -> Tensor:
    """Features of all rows of a split, those of similar lengths together."""
    assert store.encoder is not None
    device = network.to_posterior.weight.device
    order = np.argsort(store.encoder.lengths(), kind="stable")
    h = torch.empty(len(store), network.encoder.size.hidden)
    for first in track(range(0, len(order), AT_ONCE), f"encoding the {split} sentences"):
        rows = order[first : first + AT_ONCE]
        h[torch.from_numpy(rows)] = network.features(gather(store.encoder, rows, rows, 0).to(device)).float().cpu()
    return h


def _fingerprint(network: OptimusNetwork) -> str:
    """Of the encoder's weights and what is read from its states."""
    digest = hashlib.sha256(repr((network.encoder.size, network.config.feature)).encode())
    for tensor in network.encoder.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
