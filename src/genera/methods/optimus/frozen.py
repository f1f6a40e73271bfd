"""What Optimus reads of a frozen encoder: computed once for all sentences of a corpus, cached, and read by row."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.console import say, track
from genera.data.cache import build_once, cache_folder
from genera.data.streams import Bucketed
from genera.data.text.batches import TextBatch, gather
from genera.data.text.corpus import TextCorpus, hash_of
from genera.data.text.store import TokenStore
from genera.methods.optimus.model import OptimusNetwork

AT_ONCE = 256
"""Sentences encoded together."""
SPLITS = ("train", "valid")
"""Those that training reads."""
ROWS = 1 << 14
"""Vectors of which a part of the moments is computed together."""


@dataclass(frozen=True)
class Encoded:
    """Of each of N sentences its features, or the states of its tokens."""

    vectors: NDArray[np.floating]
    """(N, H) float32 features; or (tokens, H) float16 states, memory-mapped"""
    offsets: NDArray[np.int64] | None = None
    """(N + 1,): states offsets[i] … offsets[i + 1] - 1 are those of sentence i; None for features"""

    def of(self, rows: NDArray[np.int64], width: int) -> Tensor:
        """Features (B, H) of the sentences `rows`, or states (B, width, H), 0 after the last token."""
        if self.offsets is None:
            return torch.from_numpy(self.vectors[rows])
        places = self.offsets[:-1][rows, None] + np.arange(width)
        inside = places < self.offsets[1:][rows, None]
        states = torch.from_numpy(self.vectors[np.where(inside, places, 0)]).float()
        return states * torch.from_numpy(inside)[..., None]

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of all vectors, (H,) float64 each."""
        count, parts = len(self.vectors), range(0, len(self.vectors), ROWS)
        mean = np.sum([self.vectors[i : i + ROWS].sum(0, dtype=np.float64) for i in parts], 0) / count
        squares = [np.square(self.vectors[i : i + ROWS] - mean).sum(0) for i in parts]
        return torch.from_numpy(mean), torch.from_numpy(np.sqrt(np.sum(squares, 0) / max(count - 1, 1)))


class EncodedCorpus:
    """A corpus whose batches also hold what is read of the frozen encoder."""

    def __init__(self, corpus: TextCorpus, encoded: dict[str, Encoded]) -> None:
        self.corpus, self.encoded = corpus, encoded
        self.assets, self.splits = corpus.assets, tuple(encoded)

    def size(self, split: str) -> int:
        return self.corpus.size(split)

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> "EncodedStream":
        stream = self.corpus.stream(split, batch_size, seed=seed, rank=rank, ranks=ranks)
        return EncodedStream(stream, self.encoded[split])


class EncodedStream:
    """The batches of a stream with the features or states of their rows."""

    def __init__(self, stream: Bucketed, encoded: Encoded) -> None:
        self.stream, self.encoded, self.steps_per_epoch = stream, encoded, stream.steps_per_epoch

    def batch(self, step: int) -> TextBatch:
        batch = self.stream.batch(step)
        assert isinstance(batch, TextBatch)
        assert batch.encoder is not None
        return replace(batch, features=self.encoded.of(batch.ids.numpy(), batch.encoder.shape[1]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def encode(network: OptimusNetwork, corpus: TextCorpus) -> dict[str, Encoded]:
    """split → what the network reads of its encoder. Cached by the content of the corpus and the encoder's weights."""
    sentences = corpus.split("train").folder.parent.name  # which names the content and the tokenisers
    folder = cache_folder() / f"features-{hash_of(2, sentences, _fingerprint(network))}"

    def build(temporary: Path) -> None:
        for split in SPLITS:
            _write(network, corpus.split(split), split, temporary / f"{split}.bin")

    build_once(folder, build)
    size = sum(file.stat().st_size for file in folder.glob("*.bin")) / 2**20
    what = "states" if network.reads_states else "features"
    say(f"the encoder is frozen: its {what} of all sentences are read from the cache ({folder}, {size:,.0f} MB).")
    return {split: _open(network, corpus.split(split), folder / f"{split}.bin") for split in SPLITS}


def _open(network: OptimusNetwork, store: TokenStore, path: Path) -> Encoded:
    hidden = network.encoder.size.hidden
    if not network.reads_states:
        return Encoded(np.fromfile(path, np.float32).reshape(-1, hidden))
    flat = np.asarray(np.memmap(path, np.float16, "r").reshape(-1, hidden))
    return Encoded(flat, _offsets(store))


def _offsets(store: TokenStore) -> NDArray[np.int64]:
    assert store.encoder is not None
    return np.concatenate(([0], np.cumsum(store.encoder.lengths())))


@torch.no_grad()
def _write(network: OptimusNetwork, store: TokenStore, split: str, path: Path) -> None:
    """Write what is read of all rows of a split; sentences of similar lengths are encoded together."""
    assert store.encoder is not None
    hidden, offsets = network.encoder.size.hidden, _offsets(store)
    rows, dtype = (int(offsets[-1]), np.float16) if network.reads_states else (len(store), np.float32)
    out = np.memmap(path, dtype, "w+", shape=(rows, hidden))
    device = network.to_posterior.weight.device
    order = np.argsort(store.encoder.lengths(), kind="stable")
    for first in track(range(0, len(order), AT_ONCE), f"encoding the {split} sentences"):
        some = order[first : first + AT_ONCE]
        ids = gather(store.encoder, some, some, 0)
        if not network.reads_states:
            out[some] = network.features(ids.to(device)).float().cpu().numpy()
            continue
        states = network.encoder(ids.to(device), (ids != 0).to(device)).cpu().numpy()
        places = offsets[:-1][some, None] + np.arange(ids.shape[1])
        inside = places < offsets[1:][some, None]
        out[places[inside]] = states[inside]
    out.flush()


def _fingerprint(network: OptimusNetwork) -> str:
    """Of the encoder's weights and what is read of it."""
    read = "states" if network.reads_states else network.config.feature
    digest = hashlib.sha256(repr((network.encoder.size, read)).encode())
    for tensor in network.encoder.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
