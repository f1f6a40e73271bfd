"""The runs of `--init`: a new run starts with their assets and takes each network from the run that has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genera.console import say
from genera.data.cache import file_hash
from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.config import RunConfig
from genera.engine.folder import RunFolder
from genera.engine.state import StatefulModule
from genera.errors import GeneraError


class Parent(NamedTuple):
    network: str | None
    """The network to take, from `--init NETWORK=RUN`; None: all networks that both runs have."""
    folder: RunFolder
    method: str
    checkpoint: Path

    def assets(self) -> Any:
        return self.assets_type().load(self.folder.assets)

    def assets_type(self) -> Any:
        return registry.entry(self.method).load().dataset.assets_type


def parents(config: RunConfig) -> list[Parent]:
    """Raises GeneraError when a run has no checkpoint, its method does not match, or the runs' assets differ."""
    runs = [_parent(spec, config) for spec in config.train.init]
    for other in runs[1:]:
        first = runs[0]
        if other.assets_type() is first.assets_type() and _content(other) != _content(first):
            raise GeneraError(
                f"--init {first.folder.path} and {other.folder.path} have different assets (tokenisers, classes, …), "
                "but a run has one set; train both on the same data."
            )
    return runs


def _parent(spec: str, config: RunConfig) -> Parent:
    network, sign, path = spec.partition("=")
    if not (sign and network.isidentifier()) or Path(spec).exists():
        network, path = "", spec
    folder = RunFolder.existing(path)
    method = folder.config().method
    if method not in (config.method, *registry.entry(config.method).load().begins_from):
        raise GeneraError(f"--init {folder.path} is a run of {method}; expected a run of {config.method}.")
    checkpoint = ckpt.pick(folder.checkpoints)
    if checkpoint is None:
        raise GeneraError(f"--init {folder.path} has no checkpoint yet; train it first.")
    return Parent(network or None, folder, method, checkpoint)


def _content(parent: Parent) -> dict[str, str]:
    root = parent.folder.assets
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".done"]
    return {path.relative_to(root).as_posix(): file_hash(path) for path in files}


def inherit(method: StatefulModule, runs: Sequence[Parent]) -> list[str]:
    """Load each network (child of the method) from the run that has it, and print which. Returns the names of the
    networks that no run has.

    Raises:
        GeneraError: two runs have the same network, a run has none of them, or a size differs; names the network or
            tensors.
    """
    names = ckpt.networks(method.state_dict())
    named = {run.network for run in runs}
    sources: dict[str, Parent] = {}
    aside: list[str] = []
    for run in runs:
        if run.network and run.network not in names:
            raise GeneraError(f"--init {run.network}=…: there is no network {run.network!r}, but {', '.join(names)}.")
        theirs = ckpt.networks(ckpt.weights_of(run.checkpoint))
        taken = [n for n in names if n in theirs and (n == run.network if run.network else n not in named)]
        if not taken:
            wanted = f"{run.network} is" if run.network else f"{', '.join(n for n in names if n not in named)} are"
            raise GeneraError(
                f"{run.checkpoint} has no network of this run: it has {', '.join(theirs)}, but {wanted} needed."
            )
        for name in taken:
            if name in sources:
                both = f"{sources[name].folder.path} and {run.folder.path}"
                raise GeneraError(f"{both} both have the network {name!r}; choose one with --init {name}=RUN.")
            sources[name] = run
        ckpt.load_networks(method, run.checkpoint, taken)
        aside += [name for name in theirs if name not in taken]
    new = [name for name in names if name not in sources]
    if new or aside or len(runs) > 1:
        begun = [f"{n} of {run.folder.path}" if len(runs) > 1 else n for n, run in sources.items()]
        facts = {"initialised from": begun, "new": new, "unused": aside}
        say("; ".join(f"{what}: {', '.join(some)}" for what, some in facts.items() if some))
    return new
