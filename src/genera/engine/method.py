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
    """What a model needs of its data to be used without it (tokenisers, image shape, class names)."""

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


class Dataset(Protocol):
    """Opened data of one run. `assets_type` says how its assets are read back."""

    assets_type: ClassVar[type[Any]]
    assets: Any

    @classmethod
    def open(cls, config: Any, assets: Any | None = None, *, whole: bool = False) -> Self:
        """Read (and cache) the data that `config` names; `assets` of an earlier start are used as they are.

        whole: hold nothing out and leave no training item out (`limit`), as for measuring a run on a file. `splits` are
        then those that the source names by its files or parts (("train", "test"), say), or
        `(genera.data.splits.WHOLE,)` alone where it names none. Without it `splits` are train, valid and test, and what
        the source does not name is held out of its training items.
        """
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """What `size`, `items` and `stream` may be asked for."""
        ...

    def size(self, split: str) -> int: ...

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Stream: ...

    @classmethod
    def sketch(cls, config: Any, batch_size: int) -> tuple[Any, Batch]:
        """Assets and a batch of the right shapes without reading any data, for `--dry-run`."""
        ...


@dataclass
class Stage:
    """One part of a run: it trains (`players` and `update`) or works through its data in another way (`work`)."""

    name: str
    players: Callable[[], dict[str, Player]] | None = None
    """Called when the stage begins, after what earlier stages left is in place."""
    update: Callable[[Any, Step], None] | None = None
    share: float = 1.0
    """Share of the run's budget, relative to the shares of the other stages that train."""
    finish: Callable[[Any, Path], None] | None = None
    """(dataset, folder) → writes the stage's artefact into `artefacts/NAME`, for later stages and for people"""
    restore: Callable[[Path], None] | None = None
    """(folder) → reads that artefact back when a run goes on from a later stage, or is loaded for use"""
    work: Callable[[Any, Path, Ranks], Iterator[None]] | None = None
    """(dataset, folder, ranks) → on every rank, writes the artefact itself, and yields where it may be stopped; called
    again after that or a kill, it goes on"""
    data: Callable[[Any, Path], Any] | None = None
    """(dataset, artefacts) → what this stage trains on, with `size` and `stream`; the run's data set where None"""
    batch_size: int | None = None
    """Rows of this stage's global batches, where not those of `--batch-size`."""
    validate: Callable[[Any, Step], Terms] | None = None
    """For batches of this stage's own data; `Method.validate` where None."""
    validation_gradients: bool | None = None
    """Whether `validate` asks for gradients; `Method.validation_gradients` where None."""
    validated: Callable[[dict[str, float], bool], None] | None = None
    """Told of the result of each validation; `Method.validated` where None."""
    best: bool = False
    """Whether the stage ends with the weights that validated best, which later stages and the run then have, instead of
    its last ones."""
    sketch: Callable[[int], Batch] | None = None
    """(rows) → a batch of this stage's own data in shape alone, for `--dry-run`"""
    basis: str = "items of the largest size"
    """What such a batch holds, and how far a step on shapes alone goes, in words that follow the number of rows."""


class Method(StatefulModule):
    """One published training algorithm: owns its networks, gives its players and one visible training step.

    Networks are assigned as attributes, so `state_dict` is all of the method's weights. State of other kinds is
    registered in `__init__`: `register_training_state`, `register_rank_state`, `register_reference`.
    """

    dataset: ClassVar[type[Any]]
    """The Dataset class that reads this method's data."""
    validation_gradients: ClassVar[bool] = False
    """Whether `validate` asks for gradients with respect to its inputs (`torch.autograd.grad`), as Langevin chains of
    energy models do. Parameters take no gradient meanwhile."""

    def __init__(self, config: Any, assets: Any) -> None:
        super().__init__()
        self.config = config
        self.assets = assets
        self.references: dict[str, Reference] = {}

    begins_from: ClassVar[tuple[str, ...]] = ()
    """Other methods whose runs `--init` may name too."""

    def initialise(self) -> None:
        """Weights to begin a new run with, where those of construction are not it; called once, at the first start."""

    def lay_out(self) -> None:
        """Put the kernels of convolutions into memory with channels last, as they run fastest; features then follow.
        A run calls it once it has its first weights."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def complete(self, new: Sequence[str]) -> None:
        """First weights of the networks `new`, which the run that `--init` names has not got, where those of
        construction are not it; called once, at the first start."""

    def register_reference(self, name: str, path: str | Path) -> None:
        """Declare what this method reads and never changes: a run folder, or any other folder or file.

        The run records its path and content hash and checks them each time it is resumed. `reference(name)` opens it.
        Its weights are no part of `state_dict`, of a player or of a checkpoint.
        """
        self.references[name] = Reference(name, path)

    def reference(self, name: str) -> Any:
        """The frozen method of the run that is registered under `name`, on this method's device; the path of another
        folder or file. It is opened on first use.

        Raises GeneraError when it is missing, or has changed since this run began.
        """
        opened = self.references[name].open()
        if isinstance(opened, Method) and opened._device() != self._device():
            opened.to(self._device())
        return opened

    def players(self) -> dict[str, Player]:
        """Networks and optimisers of a method with a single stage."""
        raise TypeError(f"{type(self).__name__} must define players() or stages()")

    def update(self, batch: Any, step: Step) -> None:
        """One training step on this rank's rows of a batch; calls `step.minimise` for each player's turns."""
        raise TypeError(f"{type(self).__name__} must define update() or stages()")

    def stages(self) -> list[Stage]:
        return [Stage("train", self.players, self.update)]

    def validate(self, batch: Any, step: Step) -> Terms:
        """Mean figures of a validation batch; `loss` decides which checkpoint is best. Default: none."""
        return {}

    def validated(self, figures: dict[str, float], improved: bool) -> None:
        """Called on all ranks after each validation that `--validate-every` schedules, before a checkpoint is written.

        figures: means over batches and ranks. improved: `loss` is the lowest of this stage so far. What is remembered
        here must be training state. A run whose result depends on it needs the same `--validate-every` to the end.
        """
