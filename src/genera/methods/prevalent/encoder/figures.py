"""How well the pre-trained heads predict actions and masked words on held-out splits, measured as pre-training ends."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from genera.engine.capabilities import PretrainingFigures
from genera.files import write_json
from genera.methods.prevalent.encoder.data import TripletData
from genera.methods.prevalent.encoder.network import ACTIONS, Pretrainer
from genera.methods.prevalent.encoder.triplets import TripletBatch
from genera.typed import read_typed

HELD_OUT = ("valid", "val_unseen")
_FILE = "figures.json"
_BATCH = 64


def held_out_figures(network: Pretrainer, data: TripletData) -> dict[str, PretrainingFigures]:
    """Figures of every held-out split that the data has. The network is measured in eval mode."""
    training = network.training
    network.eval()
    majority = data.train.majority
    figures = {split: measure(network, data, split, majority) for split in HELD_OUT if data.size(split)}
    network.train(training)
    return figures


@torch.no_grad()
def measure(network: Pretrainer, data: TripletData, split: str, majority: int) -> PretrainingFigures:
    """Figures of all triplets of a split, with words masked as in training.

    majority: the training split's most frequent action.
    """
    occurrences, correct = np.zeros((2, ACTIONS), np.int64)
    triplets, words, nats, words_right = 0, 0, 0.0, 0
    masked: Counter[int] = Counter()
    device = next(network.parameters()).device
    for batch in _once(data, split):
        batch = batch.to(device)
        predicted = network(batch.tokens, batch.picked, batch.views)
        if predicted.actions is not None:
            labels = batch.action.flatten()
            hits = predicted.actions.argmax(-1).flatten() == labels
            occurrences += torch.bincount(labels, minlength=ACTIONS).cpu().numpy()
            correct += torch.bincount(labels[hits], minlength=ACTIONS).cpu().numpy()
        if predicted.words is not None:
            logits, truth = predicted.words.flatten(0, 2), batch.words.flatten()
            words += int((truth >= 0).sum())
            masked.update(truth[truth >= 0].tolist())
            nats += float(F.cross_entropy(logits, truth, ignore_index=-1, reduction="sum"))
            words_right += int((logits.argmax(-1) == truth).sum())
        triplets += len(batch)
    figures = PretrainingFigures(triplets)
    if total := occurrences.sum():
        figures.accuracy = float(correct.sum() / total)
        figures.majority = float(occurrences[majority] / total)
        figures.classes = {
            str(action): {
                "share": float(occurrences[action] / total),
                "accuracy": float(correct[action] / occurrences[action]),
            }
            for action in np.flatnonzero(occurrences)
        }
    if words:
        figures.mlm, figures.words_right = nats / words, words_right / words
        figures.words_majority = max(masked.values()) / words
    return figures


def _once(data: TripletData, split: str) -> Iterator[TripletBatch]:
    """The triplets of a split, once; those that fill no last batch are left out."""
    stream = data.stream(split, min(_BATCH, data.size(split)), seed=0)
    yield from map(stream.batch, range(stream.steps_per_epoch))


def write_figures(folder: Path, figures: dict[str, PretrainingFigures]) -> None:
    """Write figures.json into `folder`, which is made: split → the fields of `PretrainingFigures` that have a value."""
    write_json(
        folder / _FILE,
        {
            split: {name: value for name, value in asdict(measured).items() if value not in (None, {})}
            for split, measured in figures.items()
        },
    )


def read_figures(folder: Path) -> dict[str, PretrainingFigures]:
    values = read_typed(folder / _FILE, dict[str, PretrainingFigures])
    known = {field.name for field in fields(PretrainingFigures)}
    return {
        split: PretrainingFigures(**{name: value for name, value in figures.items() if name in known})
        for split, figures in values.items()
    }
