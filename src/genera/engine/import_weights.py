"""A run folder for imported weights, with status done at step 0."""

from pathlib import Path
from typing import Any

import torch

from genera.engine import checkpoint as ckpt
from genera.engine.checkpoint import Position
from genera.engine.config import RunConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.files import write_text


def free(path: str | Path) -> RunFolder:
    """The folder for a new run. Raises GeneraError if it already holds a run with weights."""
    folder = RunFolder(path)
    if ckpt.list_checkpoints(folder.checkpoints):
        raise GeneraError(f"{path} already holds a run; choose another --out.")
    return folder


def adopt(config: RunConfig, method: Method, folder: RunFolder, **facts: Any) -> RunFolder:
    """Write config, assets and one checkpoint at step 0, from which training can also start.

    facts: further entries of status.json, such as the origin of the weights.
    Raises GeneraError for inconsistent values of `config`, and when writing fails.
    """
    config.check()
    with folder.lock():
        folder.start(config)
        method.assets.save(folder.assets)
        write_text(folder.assets / ".done", "")
        ranks = Ranks(0, 1, torch.device("cpu"))
        players = next(stage.players for stage in method.stages() if stage.players)
        step = Step(config.train, ranks, enrol(players(), config.train, ranks))
        ckpt.save(folder.checkpoints, method, step, Position(), config.train.keep)
        folder.write_status("done", step=0, seconds=0.0, ranks=1, **facts)
    return folder
