"""Small fits of seconds to minutes beside a run, such as a feature classifier, a guide or a probe.

The caller writes the loop and the losses; this module provides the rest:

    with seeded(0, device):
        network = Classifier(…).to(device)
        fit = Fit("training the classifier", steps)
        descend = fit.optimiser(network.parameters(), "adamw", lr=1e-3, schedule="linear")
        for rows in fit.batches(shuffled(len(items), 64)):
            descend(cross_entropy(network(items[rows]), targets[rows]))
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from genera.blocks.optimisers import build_optimiser
from genera.blocks.schedules import schedule as schedule_of
from genera.console import track
from genera.errors import GeneraError

T = TypeVar("T")
CHECK_EVERY = 50
"""Steps between checks that losses are finite; each check synchronises with the device."""


class Fit:
    """A fit of `steps` steps: progress bar, optimisers with schedules, and a check that losses stay finite."""

    def __init__(self, title: str, steps: int) -> None:
        self.title, self.steps = title, steps
        self._finite: Tensor | None = None

    def optimiser(
        self,
        parameters: Iterable[Any],
        name: str,
        *,
        lr: float,
        schedule: str | Callable[[Optimizer], LRScheduler] = "constant",
        clip: float = 0.0,
        **options: Any,
    ) -> Callable[[Tensor], None]:
        """A function that takes a loss and makes one gradient descent step.

        parameters: tensors or parameter groups. name, options: as in `build_optimiser`. schedule: a schedule name, over
        the steps of the fit, or a function from the optimiser to a torch scheduler. clip: maximum gradient norm, 0 for
        no clipping.
        """
        parameters = list(parameters)
        optimiser = build_optimiser(name, parameters, lr=lr, **options)
        clipped = [p for group in optimiser.param_groups for p in group["params"]]
        if isinstance(schedule, str):
            rate = schedule_of(schedule)
            scheduler: LRScheduler = LambdaLR(optimiser, lambda step: rate(step, step / self.steps))
        else:
            scheduler = schedule(optimiser)

        def descend(loss: Tensor) -> None:
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            finite = loss.detach().isfinite()
            self._finite = finite if self._finite is None else self._finite & finite
            if clip:
                nn.utils.clip_grad_norm_(clipped, clip)
            optimiser.step()
            scheduler.step()

        return descend

    def __iter__(self) -> Iterator[int]:
        """Steps 0, 1, …. Raises GeneraError if a loss was not finite."""
        for step in track(range(self.steps), self.title):
            yield step
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == self.steps:
                self._check(step + 1)

    def batches(self, source: Iterator[T]) -> Iterator[T]:
        """One batch of `source` per step."""
        for _ in self:
            yield next(source)

    def _check(self, step: int) -> None:
        if self._finite is not None and not self._finite.item():
            raise GeneraError(
                f"{self.title}: a loss was not finite by step {step} of {self.steps}; check the data or lower the "
                "learning rate."
            )


def shuffled(count: int, batch: int) -> Iterator[Tensor]:
    """Rows (batch,) of consecutive permutations of `count` items, from torch's global generator; the last batch of a
    pass may be smaller."""
    while True:
        yield from torch.randperm(count).split(batch)


def drawn(
    count: int, batch: int, *, device: torch.device | str = "cpu", generator: Generator | None = None
) -> Iterator[Tensor]:
    """Rows (batch,) of `count` items, drawn with replacement, so `count` may be smaller than `batch`."""
    while True:
        yield torch.randint(count, (batch,), generator=generator, device=device)


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators within the context and restore them afterwards."""
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
