"""In-domain features: a small classifier that is trained once on a data set and cached.

It predicts what is known about the images: the factors of a world, else the classes if there are several, else the
number of quarter turns by which an image was rotated (Gidaris et al. 2018); for two domains, also the domain, as the
first target. Its features capture what matters in this data, without a download. Figures based on it only compare
models of the same data set.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from genera.blocks.fitting import Fit, seeded
from genera.console import say
from genera.data.cache import build_once, cache_folder
from genera.data.images.dataset import ImageData
from genera.data.images.pairs import DOMAINS, PairData
from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.measures.features import Extractor

FEATURES = 128
STEPS, BATCH, LEARNING_RATE = 600, 128, 3e-3
_VERSION = "3"  # of network and training; increase it to invalidate older ones
_LARGEST = 64
_BINS = 4
Parts: TypeAlias = list[tuple[NDArray[np.uint8], Tensor | None]]
"""Sets of images (N, C, S, S), each with its (N, targets) int64, or None if nothing is known."""


class Classifier(nn.Module):
    """A small convolutional network with one head per target."""

    def __init__(self, channels: int, classes: Sequence[int]) -> None:
        """classes: number of values of each target."""
        super().__init__()
        self.classes = tuple(classes)
        widths = (channels, 32, 64, FEATURES, FEATURES)
        self.body = nn.Sequential()
        for inputs, outputs, kernel, stride in zip(widths, widths[1:], (5, 3, 3, 3), (2, 2, 2, 1), strict=False):
            self.body.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
            self.body.append(nn.BatchNorm2d(outputs))
            self.body.append(nn.ReLU())
        self.heads = nn.Linear(FEATURES, sum(classes))

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 → (B, 128). Images larger than 64 x 64 are downsampled to it."""
        x = images.float() / 127.5 - 1
        if x.shape[2] > _LARGEST:
            x = adaptive_avg_pool2d(x, _LARGEST)
        return self.body(x).mean((2, 3))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits of each target, (B, values) each."""
        return self.heads(self.features(images)).split(self.classes, 1)


def in_domain(data: ImageData | PairData, device: str | torch.device = "cpu") -> Extractor:
    """The extractor of `data`, trained now unless cached. Its logits are those of the first target: the domain, the
    first factor of the world, or the class; none for images without labels."""
    return _fitted(
        _folder(data),
        lambda: _parts(data, _learnt(data)),
        lambda: _parts(data, "valid") if "valid" in _splits(data) else [],
        data.assets.channels,
        device,
    )


def in_domain_of(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64] | None = None, device: str | torch.device = "cpu"
) -> Extractor:
    """The extractor of images (N, C, S, S) with labels (N,) or none, trained now or found in the cache."""
    content = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    content.update(b"" if labels is None else labels.tobytes())
    folder = cache_folder() / f"in-domain-{content.hexdigest()[:20]}-{_VERSION}"
    targets = None if labels is None else torch.from_numpy(labels[:, None].copy())
    return _fitted(folder, lambda: [(pixels, targets)], lambda: [], pixels.shape[1], device)


def _fitted(
    folder: Path,
    learnt: Callable[[], Parts],
    held_out: Callable[[], Parts],
    channels: int,
    device: str | torch.device,
) -> Extractor:
    """The classifier in `folder`; trained on `learnt` where there is none yet."""

    def build(temporary: Path) -> None:
        sets = learnt()
        known = [targets for _, targets in sets if targets is not None]
        values = (torch.cat(known).max(0).values + 1).tolist() if known else [4]
        with seeded(0):
            network = Classifier(channels, values)
        _train(network.to(device), sets)
        save_file(network.state_dict(), temporary / "weights.safetensors")
        accuracy = _accuracy(network, held_out())
        write_json(temporary / "about.json", {"classes": values, "labelled": bool(known), "accuracy": accuracy})

    build_once(folder, build)
    about = read_json(folder / "about.json")
    network = Classifier(channels, about["classes"])
    try:
        network.load_state_dict(load_file(folder / "weights.safetensors"))
    except (RuntimeError, OSError) as error:
        raise GeneraError(f"{folder} is damaged ({type(error).__name__}); delete it, and it will be rebuilt.") from None
    network.eval().to(device)
    logits = (lambda images: network(images)[0]) if about["labelled"] else None
    return Extractor("in-domain classifier", network.features, logits, folder.name, device)


def accuracy_of(data: ImageData | PairData) -> list[float]:
    """Accuracy of each target of the cached extractor on validation images."""
    return read_json(_folder(data) / "about.json")["accuracy"]


def _folder(data: ImageData | PairData) -> Path:
    return cache_folder() / f"in-domain-{data.key}-{_VERSION}"


def _splits(data: ImageData | PairData) -> tuple[str, ...]:
    return tuple(data.stores if isinstance(data, ImageData) else data.domains["a"])


def _learnt(data: ImageData | PairData) -> str:
    """The split to learn from: the only one, of data that is not split."""
    return "train" if "train" in _splits(data) else _splits(data)[0]


def _parts(data: ImageData | PairData, split: str) -> Parts:
    if isinstance(data, ImageData):
        return [(data.stores[split].pixels, _targets(data, split))]
    parts: Parts = []
    for number, domain in enumerate(map(data.domain, DOMAINS)):
        pixels, targets = domain.stores[split].pixels, _targets(domain, split)
        which = torch.full((len(pixels), 1), number)
        parts.append((pixels, which if targets is None else torch.cat([which, targets], 1)))
    return parts


def _targets(data: ImageData, split: str) -> Tensor | None:
    """(N, targets) int64, or None where nothing is known."""
    if data.world is not None:
        factors = data.factors(split, data.size(split))
        columns = [getattr(factors, name) for name in data.world.factors]
        for name in data.world.ranges:  # in bins of equal width
            low, high = data.world.ranges[name]
            place = (getattr(factors, name) - low) / (high - low) * _BINS
            columns.append(place.astype(np.int64).clip(0, _BINS - 1))
        return torch.from_numpy(np.stack(columns, 1))
    labels = data.stores[split].labels
    return None if labels is None or len(data.assets.classes) < 2 else torch.from_numpy(labels[:, None].copy())


def _train(network: Classifier, sets: Parts) -> None:
    """AdamW with a one-cycle schedule. Batches are drawn with replacement (sets may be small), in equal shares from all
    sets."""
    device = network.heads.weight.device
    random = np.random.default_rng(0)
    fit = Fit("training the in-domain classifier", STEPS)
    cycle = partial(OneCycleLR, max_lr=LEARNING_RATE, total_steps=STEPS)
    descend = fit.optimiser(network.parameters(), "adamw", lr=LEARNING_RATE, weight_decay=1e-2, schedule=cycle)
    say("training the in-domain classifier for features (once for this data)")
    network.train()
    for _ in fit:
        rows = [random.integers(len(pixels), size=BATCH // len(sets)) for pixels, _ in sets]
        images, wanted = _examples(sets, rows, lambda count: random.integers(4, size=count))
        logits = network(images.to(device))
        losses = [cross_entropy(scores, wanted[:, i].to(device)) for i, scores in enumerate(logits)]
        descend(sum(losses[1:], losses[0]))
    network.eval()


def _examples(sets: Parts, rows: Sequence[Any], turns: Callable[[int], NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """These rows of each set, (B, C, H, W) uint8, and their targets (B, targets). Without known targets, images are
    rotated by `turns` quarter turns, which become the target."""
    images = torch.from_numpy(np.concatenate([pixels[own] for (pixels, _), own in zip(sets, rows, strict=True)]))
    known = [targets[at] for (_, targets), at in zip(sets, rows, strict=True) if targets is not None]
    return (images, torch.cat(known)) if known else _turned(images, torch.from_numpy(turns(len(images))))


def _turned(images: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Images rotated by `turns` quarter turns each, and the turns as target (B, 1)."""
    every = torch.stack([images.rot90(n, (2, 3)) for n in range(4)])
    return every[turns, torch.arange(len(images))], turns[:, None]


@torch.no_grad()
def _accuracy(network: Classifier, sets: Parts, most: int = 1000) -> list[float]:
    sets = [part for part in sets if len(part[0])]
    if not sets:
        return []
    device = network.heads.weight.device
    images, wanted = _examples(sets, [slice(most)] * len(sets), lambda count: np.arange(count) % 4)
    logits = network(images.to(device))
    return [float((scores.argmax(1).cpu() == wanted[:, i]).float().mean()) for i, scores in enumerate(logits)]
