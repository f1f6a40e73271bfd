"""Checkpoints: everything that moves, in safetensors and JSON, whole or absent."""

import random
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genera.engine.config import from_dict
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.files import atomic, read_json, write_json, write_tensors


@dataclass
class Position:
    """How far a run is."""

    stage: int = 0
    stage_step: int = 0
    step: int = 0
    seconds: float = 0.0
    """Training time so far, over all starts."""
    stage_seconds: float = 0.0
    best: float | None = None
    """Lowest validation loss of the current stage."""
    best_step: int | None = None


def name_of(step: int) -> str:
    return f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(p for p in folder.glob("step-*") if (p / "state.json").is_file())


def pick(folder: Path, which: str = "last") -> Path | None:
    """The checkpoint that `which` names: last, previous, best, or a step number. None when there is none at all.

    Raises:
        GeneraError: no such checkpoint.
    """
    found = list_checkpoints(folder)
    if not found:
        return None
    if which == "last":
        return found[-1]
    if which == "previous":
        if len(found) == 1:
            raise GeneraError(f"{folder} has no checkpoint before {found[0].name}, the only one.")
        return found[-2]
    if which == "best":
        best = position_of(found[-1]).best_step
        return folder / name_of(best) if best is not None and (folder / name_of(best)).is_dir() else found[-1]
    if which.isdigit() and (folder / name_of(int(which))) in found:
        return folder / name_of(int(which))
    steps = ", ".join(str(int(p.name[5:])) for p in found)
    raise GeneraError(
        f"{folder} has no checkpoint {which!r}; there are steps {steps}, and the words last, previous, best."
    )


# writing


def save(folder: Path, method: nn.Module, step: Step, position: Position, keep: int) -> None:
    """Write the checkpoint of `position` (all ranks call this) and let old ones go: `keep` newest and the best stay."""
    random_states = step.ranks.gather(_random_state())
    if not step.ranks.main:
        step.ranks.barrier()
        return
    names = {id(t): name for name, t in method.state_dict(keep_vars=True).items()}
    averages = {
        names[id(p)]: mean for t in step.trainees.values() for p, mean in zip(t.followed, t.average, strict=False)
    }
    tensors = {f"random/{rank}/{k}": v for rank, state in enumerate(random_states) for k, v in state.items()}
    groups = {}
    for name, trainee in step.trainees.items():
        groups[name], flat = _flatten(trainee.player.optimiser)
        tensors |= {f"optimiser/{name}/{k}": v for k, v in flat.items()}
    files = {"weights": dict(method.state_dict()), "training": tensors}
    if averages:
        files["average"] = averages

    target = folder / name_of(position.step)
    with atomic(target) as temporary:
        temporary.mkdir()
        for name, content in files.items():
            write_tensors(temporary / f"{name}.safetensors", content)
        write_json(
            temporary / "state.json",
            {
                "position": vars(position),
                "groups": groups,
                "scaler": step.scaler.state_dict() if step.scaler else None,
                "files": {p.name: _fingerprint(p) for p in sorted(temporary.glob("*.safetensors"))},
            },
        )
        if target.exists():  # written by a start that was later rewound to an earlier checkpoint
            _remove(target)
    found = list_checkpoints(folder)
    newest = [p for p in found if p.name <= target.name][-keep:]  # later ones are of a start that was rewound
    for old in found:
        if old not in newest and old.name != name_of(position.best_step or 0):
            _remove(old)
    step.ranks.barrier()


def _remove(checkpoint: Path) -> None:
    """Unname first, so that a kill in between leaves no half checkpoint under a good name."""
    hidden = checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.gone.tmp"))
    shutil.rmtree(hidden)


def clean(folder: Path) -> None:
    """Remove what a killed start left half-written."""
    for leftover in folder.glob(".step-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def _fingerprint(path: Path) -> dict[str, int]:
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            checksum = zlib.crc32(block, checksum)
    return {"bytes": path.stat().st_size, "crc32": checksum}


def _flatten(optimiser: Optimizer) -> tuple[list[Any], dict[str, Tensor]]:
    state = optimiser.state_dict()
    flat = {f"{i}/{k}": torch.as_tensor(v) for i, entry in state["state"].items() for k, v in entry.items()}
    return state["param_groups"], flat


# reading

ADVICE = "go on from the one before with --resume previous (or use --checkpoint previous)"


def _read_state(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "state.json"
    try:
        state = read_json(path)
    except GeneraError as error:
        raise GeneraError(f"{str(error).partition('; ')[0]}; {ADVICE}.") from None
    if not isinstance(state, dict) or not {"position", "groups", "scaler", "files"} <= state.keys():
        raise GeneraError(f"{path} is damaged (it is no state of a checkpoint); {ADVICE}.")
    return state


def read_tensors(checkpoint: Path, name: str) -> dict[str, Tensor]:
    """The tensors of one file of a checkpoint, verified. Raises GeneraError for a missing or damaged file."""
    path = checkpoint / f"{name}.safetensors"
    expected = _read_state(checkpoint)["files"].get(path.name)
    if not path.is_file():
        raise GeneraError(f"{path} is missing; {ADVICE}.")
    size = path.stat().st_size
    if expected and size != expected["bytes"]:
        raise GeneraError(f"{path} is damaged ({size} bytes where {expected['bytes']} were written); {ADVICE}.")
    if expected and _fingerprint(path) != expected:
        raise GeneraError(f"{path} is damaged (its checksum is not the one written); {ADVICE}.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise GeneraError(f"{path} is damaged ({error}); {ADVICE}.") from None


def load_weights(method: nn.Module, checkpoint: Path, *, average: bool = True, partial: bool = False) -> None:
    """Read a checkpoint's weights into `method`; the moving average in their place where there is one. With `partial`
    the method may have more weights, which stay.

    Raises:
        GeneraError: the checkpoint is of another method or size, naming the tensors.
    """
    tensors = read_tensors(checkpoint, "weights")
    if average and (checkpoint / "average.safetensors").exists():
        tensors |= read_tensors(checkpoint, "average")
    own = method.state_dict()
    wrong = [] if partial else [f"{k} is missing" for k in own.keys() - tensors.keys()]
    wrong += [f"{k} is not part of this method" for k in tensors.keys() - own.keys()]
    wrong += [
        f"{k} is {tuple(tensors[k].shape)} and must be {tuple(own[k].shape)}"
        for k in own.keys() & tensors.keys()
        if tensors[k].shape != own[k].shape
    ]
    if wrong:
        shown = "; ".join(sorted(wrong)[:4]) + (f"; and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise GeneraError(f"{checkpoint} is of another method or size: {shown}.")
    method.load_state_dict(tensors, strict=not partial)


def position_of(checkpoint: Path) -> Position:
    return from_dict(Position, _read_state(checkpoint)["position"], f"{checkpoint / 'state.json'}: position")


def load_training(checkpoint: Path, method: nn.Module, step: Step) -> None:
    """Read weights, optimisers, averages, loss scale and random states, to go on exactly where `save` was called."""
    load_weights(method, checkpoint, average=False)
    tensors, state = read_tensors(checkpoint, "training"), _read_state(checkpoint)
    names = {id(t): name for name, t in method.state_dict(keep_vars=True).items()}
    averages = read_tensors(checkpoint, "average") if any(t.average for t in step.trainees.values()) else {}
    for name, trainee in step.trainees.items():
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimiser/{name}/"):
                index, field = key.removeprefix(f"optimiser/{name}/").split("/", 1)
                entries.setdefault(int(index), {})[field] = value
        trainee.player.optimiser.load_state_dict({"state": entries, "param_groups": state["groups"][name]})
        for parameter, mean in zip(trainee.followed, trainee.average, strict=False):
            mean.copy_(averages[names[id(parameter)]])
    if step.scaler:
        step.scaler.load_state_dict(state["scaler"])
    own = f"random/{step.ranks.rank}/"
    if mine := {k.removeprefix(own): v for k, v in tensors.items() if k.startswith(own)}:
        _restore_random_state(mine)


# random states


def _random_state() -> dict[str, Tensor]:
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  (the global state is what is saved)
    version, words, extra = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_rest": torch.tensor([version, extra is not None, extra or 0.0], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_state(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["torch"])
    position, has_gauss, gauss = states["numpy_rest"].tolist()
    keys = states["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))  # noqa: NPY002
    version, has_extra, extra = states["python_rest"].tolist()
    random.setstate((int(version), tuple(states["python"].tolist()), extra if has_extra else None))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
