"""Load a trained method from its run folder, for use or as the frozen teacher of another run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.config import RunConfig
from genera.engine.folder import RunFolder
from genera.errors import GeneraError


@dataclass
class Loaded:
    folder: RunFolder
    config: RunConfig
    method: Any
    """A Method with the weights of `checkpoint`; moving averages replace the weights that have them."""
    checkpoint: Path
    files: list[Path]
    """The files that the method was loaded from, besides its config."""


def load_method(path: str | Path, checkpoint: str = "last") -> Loaded:
    """The trained method of the run folder `path`, on the CPU. Needs neither data nor training state.

    checkpoint: last, best, previous or a step number.
    Raises GeneraError when there is no run, no checkpoint, or a damaged one.
    """
    folder = RunFolder.existing(path)
    config = folder.config()
    chosen = ckpt.pick(folder.checkpoints, checkpoint)
    if chosen is None:
        raise GeneraError(f"{path} has no checkpoint yet; rerun its training command to resume.")
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn and then overwritten
        method = _built(folder, config)
    files = [folder.assets, *(chosen / f"{name}.safetensors" for name in ("weights", "average"))]
    for stage in method.stages():
        artefact = folder.artefacts / stage.name
        if stage.restore and artefact.exists():
            stage.restore(artefact)
            files.append(artefact)
    ckpt.load_weights(method, chosen)
    method.lay_out()
    return Loaded(folder, config, method, chosen, [file for file in files if file.exists()])


def sketch_method(path: str | Path) -> Any:
    """The method of a run folder on the meta device: shapes without weights."""
    folder = RunFolder.existing(path)
    with torch.device("meta"):
        return _built(folder, folder.config())


def _built(folder: RunFolder, config: RunConfig) -> Any:
    implementation = registry.entry(config.method).load()
    method = implementation(config.model, implementation.dataset.assets_type.load(folder.assets))
    for reference in method.references.values():
        reference.belongs_to(folder.path)
    return method
