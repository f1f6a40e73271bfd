"""Noise of a training step: a pure function of the seed and the position of the run, for any split of the batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from genera.engine.ranks import Ranks


@dataclass
class Noise:
    """Draws for the current rows, keyed by (seed, stage, step, turn, draw).

    A draw is made for the global batch and sliced to the rows of this rank and accumulated part. The noise of a row
    thus depends neither on the number of ranks and parts nor on interruptions.
    """

    seed: int
    ranks: Ranks
    stage: int = 0
    step: int = 0
    turn: int = 0
    """Calls of `minimise` in this step so far; 0 before the first."""
    draws: int = 0
    """Draws in this turn (and part) so far."""
    part: int = 0
    parts: int = 1

    def begin_step(self, step: int) -> None:
        self.step, self.turn, self.draws, self.part, self.parts = step, 0, 0, 0, 1

    def begin_turn(self) -> None:
        self.turn += 1

    @contextmanager
    def accumulated(self, part: int, parts: int) -> Iterator[None]:
        """Use the draws of part `part` of a turn whose batch is split into `parts`."""
        self.part, self.parts, self.draws = part, parts, 0
        try:
            yield
        finally:
            self.part, self.parts, self.draws = 0, 1, 0

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) of `shape`, whose first axis is the current rows."""
        return self._draw(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """U[0, 1), as `normal`."""
        return self._draw(torch.rand, shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform among 0 .. high - 1 (int64), as `normal`."""
        return self._draw(partial(torch.randint, high, dtype=torch.int64), shape)

    def chance(self) -> float:
        """One U[0, 1) on the host, identical on all ranks and for all accumulated parts."""
        return float(np.random.default_rng(self._next_key()).random())

    def _next_key(self) -> np.random.SeedSequence:
        self.draws += 1
        return np.random.SeedSequence((self.seed, self.stage, self.step, self.turn, self.draws))

    def _draw(self, kind: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        device = self.ranks.device
        if device.type == "meta":
            return kind(shape, device=device)
        generator = torch.Generator(device).manual_seed(int(self._next_key().generate_state(1)[0]))
        rows = shape[0]
        whole = kind((self.ranks.data_world * self.parts * rows, *shape[1:]), generator=generator, device=device)
        first = (self.ranks.data_rank * self.parts + self.part) * rows
        return whole[first : first + rows]
