"""Triplets (panorama, instruction, action), one for each step of each instructed path: the pre-training data."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch
from genera.data.streams import Shuffled
from genera.data.text.store import Ragged
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.errors import GeneraError
from genera.methods.prevalent.encoder.network import ACTIONS
from genera.navigation.dataset import InstructedPaths, NavigationAssets
from genera.navigation.features import Views, view_angles
from genera.navigation.graphs import HEADINGS, VIEWS, Graphs
from genera.navigation.simulator import slots, views_along
from genera.navigation.tokens import token_ids

HIDDEN, REPLACED = 0.8, 0.1
"""Shares of the picked words that are masked, and replaced by a random token. The rest is kept."""


@dataclass(frozen=True)
class Triplets:
    """N steps of P instructions, in the order of the paths. The last step of a path is STOP."""

    instructions: Ragged
    """(P,) ids of tokens"""
    first: NDArray[np.int64]
    """(P + 1,): the steps of instruction p are first[p] … first[p + 1] - 1"""
    node: NDArray[np.int32]
    """(N,) the agent's node"""
    view: NDArray[np.int8]
    """(N,) the agent's view, 0 .. 35"""
    action: NDArray[np.int8]
    """(N,) the rank of the next viewpoint by |relative heading|, from 1; 0 is STOP"""

    def __len__(self) -> int:
        return len(self.node)

    @classmethod
    def of(cls, paths: InstructedPaths, graphs: Graphs, tokeniser: Tokeniser, max_tokens: int) -> Self:
        """All steps of `paths`. max_tokens: of an instruction.

        Raises GeneraError for a move that is not an edge, and for a viewpoint with more than 35 neighbours.
        """
        inside = paths.nodes >= 0
        views = views_along(graphs, paths.nodes, paths.headings)
        actions = np.zeros(paths.nodes.shape, np.int8)
        for step in range(paths.nodes.shape[1] - 1):
            rows = np.flatnonzero(inside[:, step + 1])
            here, there = paths.nodes[rows, step], paths.nodes[rows, step + 1]
            leads = slots(graphs).node[here * HEADINGS + views[rows, step] % HEADINGS] == there[:, None]
            if not leads.any(axis=1).all():
                a, b = (graphs.names[side[np.argmin(leads.any(axis=1))]] for side in (here, there))
                raise GeneraError(f"an instructed path goes from viewpoint {a} to {b}, which is no edge.")
            actions[rows, step] = leads.argmax(axis=1)
        if actions.max(initial=0) >= ACTIONS:
            raise GeneraError(
                f"a viewpoint has more than {ACTIONS - 1} neighbours; the action head has {ACTIONS} places."
            )
        return cls(
            instructions=token_ids(tokeniser, paths.texts, max_tokens),
            first=np.concatenate([[0], np.cumsum(inside.sum(axis=1))]),
            node=paths.nodes[inside].astype(np.int32),
            view=views[inside].astype(np.int8),
            action=actions[inside],
        )

    @property
    def majority(self) -> int:
        """The most frequent action."""
        return int(np.bincount(self.action).argmax())


@dataclass
class TripletBatch(Batch):
    """B instructions with G steps each; `ids` are triplets, the first of each row."""

    tokens: Tensor
    """(B, L) int64, with some words masked or replaced; 0 is padding"""
    picked: Tensor
    """(B, P) int64 positions of the words to predict; 0 is padding"""
    words: Tensor
    """(B, P) int64 the words at these positions; -1 is padding"""
    weight: Tensor
    """(B,) rows of the global batch divided by its picked words: with this weight the mean over rows of the sums over
    words is the mean over all picked words. 0 where none is picked."""
    views: Tensor
    """(B, G, 36, F) features of the views and then of their angles"""
    action: Tensor
    """(B, G) int64"""

    @classmethod
    def sketch(cls, rows: int, steps: int, length: int, features: int) -> Self:
        """A batch in shape alone, for `--dry-run`: the longest texts, with a quarter of the words picked."""
        words = torch.ones(rows, max(1, length // 4), dtype=torch.int64)
        return cls(
            ids=torch.arange(rows),
            tokens=torch.ones(rows, length, dtype=torch.int64),
            picked=words,
            words=words,
            weight=torch.ones(rows),
            views=torch.zeros(rows, steps, VIEWS, features),
            action=torch.zeros(rows, steps, dtype=torch.int64),
        )


@dataclass(frozen=True)
class Masking:
    """Masking of words (Devlin et al. 2019)."""

    share: float
    """of the words, special tokens aside"""
    mask: int
    """the id of [MASK]"""
    vocabulary: int

    def __call__(
        self, tokens: NDArray[np.int64], lengths: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """tokens (B, L) of these lengths, from [CLS] to [SEP] → masked tokens (B, L), positions and words (B, P)."""
        place = np.arange(tokens.shape[1])
        picked = (random.random(tokens.shape) < self.share) & (place > 0) & (place < lengths[:, None] - 1)
        # Never replaced by 0, which is padding: no layer would attend to that position.
        fate, other = random.random(tokens.shape), random.integers(1, self.vocabulary, size=tokens.shape)
        shown = np.where(picked & (fate < HIDDEN), self.mask, tokens)
        shown = np.where(picked & (fate >= HIDDEN) & (fate < HIDDEN + REPLACED), other, shown)
        most = max(1, int(picked.sum(axis=1).max()))
        places = np.argsort(~picked, axis=1, kind="stable")[:, :most]
        is_word = np.take_along_axis(picked, places, axis=1)
        words = np.where(is_word, np.take_along_axis(tokens, places, axis=1), -1)
        return shown, np.where(is_word, places, 0), words


class TripletStream:
    """Batches of triplets, uniformly shuffled; see `genera.data.batch.Stream`.

    A row is a triplet and the G - 1 that follow it on its path, cyclically, so that all steps are equally frequent.
    Views are gathered here, in parallel with the training step.
    """

    def __init__(
        self,
        triplets: Triplets,
        views: Views,
        assets: NavigationAssets,
        *,
        batch: int,
        steps_of_one: int = 1,
        masked: float = 0.15,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """batch: rows of the global batch. Raises GeneraError when the triplets cannot fill it, or ranks share it."""
        self._leaders = Shuffled(
            len(triplets), batch=batch, seed=seed, rank=rank, ranks=ranks, kind="triplets", brings=steps_of_one
        )
        self.steps_per_epoch = self._leaders.steps_per_epoch
        self._triplets, self._views, self._group = triplets, views, steps_of_one
        self._angles = view_angles(assets.angle_size, assets.layout)
        self._masking = Masking(masked, assets.tokeniser.mask, assets.tokeniser.size)
        self._batch, self._seed = batch, seed

    def batch(self, step: int) -> TripletBatch:
        """This rank's rows of the global batch of `step`, masked and padded as in the whole batch."""
        draw = self._leaders.draw(step)
        leaders, mine = draw.rows, draw.part
        data = self._triplets
        instruction = np.searchsorted(data.first, leaders, side="right") - 1
        lengths = data.instructions.lengths(instruction)
        tokens = data.instructions.padded(instruction, int(lengths.max()), 0)
        shown, places, words = self._masking(tokens, lengths, np.random.default_rng([self._seed, 1, step]))
        count = int((words >= 0).sum())

        start, end = data.first[instruction[mine]], data.first[instruction[mine] + 1]
        offset = leaders[mine, None] - start[:, None] + np.arange(self._group)
        rows = start[:, None] + offset % (end - start)[:, None]
        seen = self._views.gather(data.node[rows])
        angles = self._angles[data.view[rows] % HEADINGS]
        return TripletBatch(
            ids=torch.from_numpy(leaders[mine]),
            tokens=torch.from_numpy(shown[mine]),
            picked=torch.from_numpy(places[mine]),
            words=torch.from_numpy(words[mine]),
            weight=torch.full((len(start),), self._batch / count if count else 0.0),
            views=torch.from_numpy(np.concatenate([seen, angles], axis=-1)),
            action=torch.from_numpy(data.action[rows].astype(np.int64)),
        )
