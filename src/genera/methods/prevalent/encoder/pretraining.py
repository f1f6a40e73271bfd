"""Pre-training: attended masked words and action prediction, on annotated and synthesised triplets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genera.engine.method import Player, Stage, Terms
from genera.engine.optimisers import adamw_player
from genera.engine.step import Step
from genera.files import write_json
from genera.methods.prevalent.encoder.config import PretrainConfig
from genera.methods.prevalent.encoder.network import ACTIONS, Pretrainer
from genera.methods.prevalent.encoder.triplets import TripletBatch, Triplets, TripletStream
from genera.navigation.dataset import InstructedPaths, NavigationAssets, NavigationData

FIGURES = "figures.json"
_ROWS = 64  # triplets that are judged together
_HELD_OUT = ("valid", "val_unseen")


# data


@dataclass(frozen=True)
class TripletData:
    """Triplets of the training split, synthesised ones among them, and those of held-out splits."""

    data: NavigationData
    config: PretrainConfig
    train: Triplets
    _held_out: dict[str, Triplets] = field(default_factory=dict)

    @classmethod
    def of(cls, data: NavigationData, config: PretrainConfig, synthetic: InstructedPaths | None) -> "TripletData":
        """synthetic: of these the share `config.synthetic` joins the annotated paths. The same ones each time, and
        those of a smaller share are among those of a larger."""
        paths = data.paths("train")
        if synthetic is not None:
            order = np.random.default_rng(0).permutation(len(synthetic))
            paths = joined(paths, synthetic, np.sort(order[: round(config.synthetic * len(synthetic))]))
        return cls(data, config, _triplets(data, paths))

    def size(self, split: str) -> int:
        """Triplets; 0 for a held-out split that the source does not have."""
        return len(self.triplets(split)) if split == "train" or self.data.size(split) else 0

    def triplets(self, split: str) -> Triplets:
        if split == "train":
            return self.train
        if split not in self._held_out:
            self._held_out[split] = _triplets(self.data, self.data.paths(split))
        return self._held_out[split]

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> TripletStream:
        """batch_size: rows of the global batch; of `steps_of_one` triplets each in training, of one otherwise."""
        return TripletStream(
            self.triplets(split),
            self.data.views,
            self.data.assets,
            batch=batch_size,
            steps_of_one=self.config.steps_of_one if split == "train" else 1,
            masked=self.config.masked if self.config.mlm_weight else 0.0,
            seed=seed,
            rank=rank,
            ranks=ranks,
        )


def joined(one: InstructedPaths, other: InstructedPaths, rows: np.ndarray) -> InstructedPaths:
    """The paths of `one` and then these rows of `other`."""
    width = max(one.nodes.shape[1], other.nodes.shape[1])
    nodes = [np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in (one.nodes, other.nodes[rows])]
    return InstructedPaths(
        np.concatenate(nodes),
        np.concatenate([one.headings, other.headings[rows]]),
        [*one.texts, *(other.texts[row] for row in rows)],
    )


def _triplets(data: NavigationData, paths: InstructedPaths) -> Triplets:
    return Triplets.of(paths, data.graphs, data.assets.tokeniser, data.config.max_tokens)


# losses


@dataclass
class Prediction:
    """What the heads say of a batch: G steps for each of B rows, P picked words."""

    words: Tensor | None
    """(B, G, P, vocabulary) logits"""
    actions: Tensor | None
    """(B, G, 36) logits"""


def predict(network: Pretrainer, batch: TripletBatch) -> Prediction:
    """The text layers run once a row, the cross-modal layers once a step."""
    rows, steps = batch.action.shape
    mask = batch.tokens != 0
    text = network.encoder.text(batch.tokens, mask)
    if steps > 1:
        text, mask = text.repeat_interleave(steps, 0), mask.repeat_interleave(steps, 0)
    states = network.encoder.cross(text, mask, network.encoder.image(batch.views.flatten(0, 1)))
    words = actions = None
    if network.words is not None:  # only the picked words go through the widest layer
        places = batch.picked.repeat_interleave(steps, 0)[..., None].expand(-1, -1, states.shape[-1])
        logits = network.words(states.gather(1, places), network.encoder.words.tokens.weight)
        words = logits.unflatten(0, (rows, steps))
    if network.actions is not None:
        actions = network.actions(states).unflatten(0, (rows, steps))
    return Prediction(words, actions)


def objective(network: Pretrainer, config: PretrainConfig, batch: TripletBatch) -> Terms:
    """L = w_MLM L_MLM + w_AP L_AP, and how often the action is right."""
    found = predict(network, batch)
    terms: Terms = {}
    loss = batch.weight.new_zeros(())
    if found.words is not None:
        terms["mlm"] = word_loss(found.words, batch)
        loss = loss + config.mlm_weight * terms["mlm"]
    if found.actions is not None:
        terms["ap"] = F.cross_entropy(found.actions.flatten(0, 1), batch.action.flatten())
        terms["accuracy"] = (found.actions.argmax(-1) == batch.action).float().mean()
        loss = loss + config.ap_weight * terms["ap"]
    return {"loss": loss, **terms}


def word_loss(logits: Tensor, batch: TripletBatch) -> Tensor:
    """Mean cross-entropy over the picked words of the global batch, of which these are some rows; 0 where it has none.

    logits: (B, G, P, vocabulary).
    """
    rows, steps = logits.shape[:2]
    words = batch.words[:, None].expand(-1, steps, -1)
    losses = F.cross_entropy(logits.flatten(0, 2), words.flatten(), ignore_index=-1, reduction="none")
    return (losses.view(rows, -1).sum(1) / steps * batch.weight).mean()


# figures


def held_out_figures(network: Pretrainer, data: TripletData) -> dict[str, Any]:
    """Figures of every held-out split that there is: see `figures`."""
    majority = data.train.majority
    return {split: figures(network, data, split, majority) for split in _HELD_OUT if data.size(split)}


@torch.no_grad()
def figures(network: Pretrainer, data: TripletData, split: str, majority: int) -> dict[str, Any]:
    """How well the heads do on all triplets of a split, some words of each hidden as in training.

    `accuracy` of actions stands beside `majority`, what the training split's most frequent action would score, and
    `classes` has the share and the accuracy of every action that occurs. `mlm` is the mean loss of a hidden word, in
    nats, and `words_right` the share of them that is guessed.
    """
    there, right = np.zeros((2, ACTIONS), np.int64)
    triplets, words, nats, guessed = 0, 0, 0.0, 0
    device = next(network.parameters()).device
    for batch in _once(data, split):
        batch = batch.to(device)
        found = predict(network, batch)
        if found.actions is not None:
            labels, hits = batch.action.flatten(), (found.actions.argmax(-1) == batch.action).flatten()
            there += torch.bincount(labels, minlength=ACTIONS).cpu().numpy()
            right += torch.bincount(labels[hits], minlength=ACTIONS).cpu().numpy()
        if found.words is not None:
            logits, truth = found.words.flatten(0, 2), batch.words.flatten()
            words += int((truth >= 0).sum())
            nats += float(F.cross_entropy(logits, truth, ignore_index=-1, reduction="sum"))
            guessed += int((logits.argmax(-1) == truth).sum())
        triplets += len(batch)
    result: dict[str, Any] = {"triplets": triplets}
    if there.sum():
        result |= {
            "accuracy": float(right.sum() / there.sum()),
            "majority": float(there[majority] / there.sum()),
            "classes": {
                str(action): {
                    "share": float(there[action] / there.sum()),
                    "accuracy": float(right[action] / there[action]),
                }
                for action in np.flatnonzero(there)
            },
        }
    if words:
        result |= {"mlm": nats / words, "words_right": guessed / words}
    return result


def _once(data: TripletData, split: str) -> Iterator[TripletBatch]:
    """The triplets of a split, once; a few that fill no last batch are left out."""
    size = data.size(split)
    rows = min(_ROWS, size)
    stream = data.stream(split, rows, seed=0)
    yield from map(stream.batch, range(stream.steps_per_epoch))


def write_figures(network: Pretrainer, data: TripletData, folder: Path) -> None:
    """Write figures.json into `folder`, which is made."""
    training = network.training
    write_json(folder / FIGURES, held_out_figures(network.eval(), data))
    network.train(training)


# the stage


def pretrain_stage(
    network: Pretrainer,
    config: PretrainConfig,
    assets: NavigationAssets,
    longest: int,
    synthetic: Callable[[NavigationData, Path], InstructedPaths | None],
    share: float = 1.0,
) -> Stage:
    """AdamW on both losses.

    longest: tokens of an instruction at most, for `--dry-run`. synthetic: (data, the run's artefacts) → the
        synthesised set.
    """

    def players() -> dict[str, Player]:
        return {"encoder": replace(adamw_player(network, config), clip=config.clip)}

    def loss(batch: TripletBatch, step: Step) -> Terms:
        return objective(network, config, batch)

    def data(opened: NavigationData, artefacts: Path) -> TripletData:
        return TripletData.of(opened, config, synthetic(opened, artefacts))

    def finish(opened: NavigationData, folder: Path) -> None:
        write_figures(network, TripletData.of(opened, config, None), folder)

    return Stage(
        "pretrain",
        players,
        lambda batch, step: step.minimise("encoder", loss, batch),
        share=share,
        finish=finish,
        data=data,
        batch_size=config.batch_size // config.steps_of_one,
        validate=loss,
        sketch=lambda rows: TripletBatch.sketch(rows, config.steps_of_one, longest, assets.feature_size),
    )
