"""The contract between a published method and the engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch

from genera.data.batch import Batch, Stream
from genera.engine.player import Player, Terms
from genera.engine.ranks import Ranks
from genera.engine.references import Reference
from genera.engine.state import StatefulModule
from genera.engine.step import Step


class Assets(Protocol):
    """What a model needs from its data at inference (tokenisers, image shape, class names)."""

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


class Dataset(Protocol):
    """The opened data of a run. `assets_type` is the class that loads its assets."""

    assets_type: ClassVar[type[Any]]
    assets: Any

    @classmethod
    def open(cls, config: Any, assets: Any | None = None, *, whole: bool = False) -> Self:
        """Read (and cache) the data of `config`. `assets` from an earlier start are reused unchanged.

        whole: hold out no items and ignore `limit`, as for measuring a run on a file. `splits` are then those that the
        source defines by its files or parts (("train", "test"), say), or only `(genera.data.splits.WHOLE,)` if it
        defines none. Otherwise `splits` are train, valid and test; those that the source lacks are held out from its
        training items.
        """
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `size`, `items` and `stream` accept."""
        ...

    def size(self, split: str) -> int: ...

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Stream: ...

    @classmethod
    def sketch(cls, config: Any, batch_size: int) -> tuple[Any, Batch]:
        """Assets and a batch of the right shapes without reading any data, for `--dry-run`."""
        ...


@dataclass
class Stage:
    """One phase of a run: it trains (`players` and `update`) or processes data in another way (`work`)."""

    name: str
    players: Callable[[], dict[str, Player]] | None = None
    """Called when the stage begins, after the artefacts of earlier stages are restored."""
    update: Callable[[Any, Step], None] | None = None
    share: float = 1.0
    """Share of the run's budget, relative to the shares of the other training stages."""
    finish: Callable[[Any, Path], None] | None = None
    """(dataset, folder) → writes the stage's artefact to `artefacts/NAME`, for later stages and for inspection"""
    restore: Callable[[Path], None] | None = None
    """(folder) → restores that artefact when a run resumes at a later stage, or is loaded for use"""
    work: Callable[[Any, Path, Ranks], Iterator[None]] | None = None
    """(dataset, folder, ranks) → runs on every rank, writes the artefact, and yields wherever it may be stopped; called
    again after a stop or kill, it resumes"""
    data: Callable[[Any, Path], Any] | None = None
    """(dataset, artefacts) → the training data of this stage, with `size` and `stream`; None: the run's data set"""
    batch_size: int | None = None
    """Global batch size of this stage; None: `--batch-size`."""
    validate: Callable[[Any, Step], Terms] | None = None
    """Validates batches of this stage's data; None: `Method.validate`."""
    validation_gradients: bool | None = None
    """Whether `validate` needs gradients; None: `Method.validation_gradients`."""
    validated: Callable[[dict[str, float], bool], None] | None = None
    """Receives the result of each validation; None: `Method.validated`."""
    best: bool = False
    """Whether the stage ends with the weights that had the best validation loss, instead of the last ones."""
    sketch: Callable[[int], Batch] | None = None
    """(rows) → a batch of this stage's data with shapes only, for `--dry-run`"""
    basis: str = "items of the largest size"
    """Contents of that batch and scope of the dry-run step, phrased to follow the number of rows."""


class Method(StatefulModule):
    """One published training algorithm: its networks, its players and one explicit training step.

    Networks are assigned as attributes, so `state_dict` contains all weights of the method. Other kinds of state are
    registered in `__init__`: `register_training_state`, `register_rank_state`, `register_reference`.
    """

    dataset: ClassVar[type[Any]]
    """The Dataset class that reads this method's data."""
    validation_gradients: ClassVar[bool] = False
    """Whether `validate` needs gradients with respect to its inputs (`torch.autograd.grad`), as for the Langevin chains
    of energy models. Parameters do not require gradients during validation."""

    def __init__(self, config: Any, assets: Any) -> None:
        super().__init__()
        self.config = config
        self.assets = assets
        self.references: dict[str, Reference] = {}

    begins_from: ClassVar[tuple[str, ...]] = ()
    """Other methods whose runs `--init` may name too."""

    def initialise(self) -> None:
        """Initialise weights for a new run; called once, at the first start. Default: keep those of construction."""

    def lay_out(self) -> None:
        """Convert convolution kernels to the channels-last memory format, which is fastest; features then follow it.
        Called once a run has its initial weights."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def complete(self, new: Sequence[str]) -> None:
        """Initialise the networks `new`, which the runs of `--init` lack; called once, at the first start. Default:
        keep the weights of construction."""

    def register_reference(self, name: str, path: str | Path) -> None:
        """Declare a read-only dependency of this method: a run folder, or any other folder or file.

        The run records its path and content hash and checks them on every resume. `reference(name)` opens it.
        Its weights are not part of `state_dict`, of a player or of a checkpoint.
        """
        self.references[name] = Reference(name, path)

    def reference(self, name: str) -> Any:
        """The frozen method of the run registered under `name`, on this method's device; or the path of another folder
        or file. It is opened on first use.

        Raises GeneraError when it is missing or has changed since this run began.
        """
        opened = self.references[name].open()
        if isinstance(opened, Method) and opened._state_device() != self._state_device():
            opened.to(self._state_device())
        return opened

    def players(self) -> dict[str, Player]:
        """Networks and optimisers of a single-stage method."""
        raise TypeError(f"{type(self).__name__} must define players() or stages()")

    def update(self, batch: Any, step: Step) -> None:
        """One training step on this rank's rows of a batch; calls `step.minimise` for each turn of a player."""
        raise TypeError(f"{type(self).__name__} must define update() or stages()")

    def stages(self) -> list[Stage]:
        return [Stage("train", self.players, self.update)]

    def validate(self, batch: Any, step: Step) -> Terms:
        """Mean figures of a validation batch; `loss` selects the best checkpoint. Default: none."""
        return {}

    def validated(self, figures: dict[str, float], improved: bool) -> None:
        """Called on all ranks after each validation that `--validate-every` schedules, before a checkpoint is written.

        figures: means over batches and ranks. improved: `loss` is the lowest of this stage so far. Anything stored here
        must be training state. A run whose result depends on it must keep the same `--validate-every`.
        """
