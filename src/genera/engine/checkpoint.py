"""Checkpoints: weights and all training state in safetensors and JSON, written atomically."""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from genera.blocks.shares import assign, is_share, whole_shape
from genera.blocks.tensor_parallel import Arrangement, arrangements, parts_of
from genera.engine.config import from_dict
from genera.engine.random_state import random_state, restore_random_state
from genera.engine.ranks import Ranks
from genera.engine.state import StatefulModule
from genera.engine.step import Step
from genera.engine.trainees import Trainee
from genera.errors import GeneraError, reason
from genera.files import atomic, checksum, read_json, write_json, write_tensors
from genera.numerals import integer
from genera.typed import mismatch

SHARES = "shares"
"""Folder of a checkpoint for the optimiser state of a sharded run, written by every rank."""

RANKS = "ranks"
"""Folder of a checkpoint for the per-rank state."""


@dataclass
class Position:
    """Progress of a run."""

    stage: int = 0
    stage_step: int = 0
    step: int = 0
    seconds: float = 0.0
    """Total training time over all starts."""
    stage_seconds: float = 0.0
    best: float | None = None
    """Lowest validation loss of the current stage."""
    best_step: int | None = None


def name_of(step: int) -> str:
    return f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    steps = (p for p in folder.glob("step-*") if integer(p.name.removeprefix("step-")) is not None)
    return sorted(p for p in steps if (p / "state.json").is_file())


def pick(folder: Path, which: str = "last") -> Path | None:
    """The checkpoint `which`: last, previous, best, or a step number. None when there are no checkpoints.

    Raises:
        GeneraError: no such checkpoint.
    """
    existing = list_checkpoints(folder)
    if not existing:
        return None
    if which == "last":
        return existing[-1]
    if which == "previous":
        if len(existing) == 1:
            raise GeneraError(f"{folder} has only one checkpoint, {existing[0].name}, and no previous one.")
        return existing[-2]
    if which == "best":
        best = position_of(existing[-1]).best_step
        return folder / name_of(best) if best is not None and (folder / name_of(best)).is_dir() else existing[-1]
    if (number := integer(which)) is not None and (folder / name_of(number)) in existing:
        return folder / name_of(number)
    steps = ", ".join(str(int(p.name[5:])) for p in existing)
    raise GeneraError(
        f"{folder} has no checkpoint {which!r}; choose one of the steps {steps}, or last, previous or best."
    )


# writing


def save(folder: Path, method: StatefulModule, step: Step, position: Position, keep: int) -> None:
    """Write the checkpoint of `position` and delete old ones, except the `keep` newest and the best. All ranks call it.

    Weights, averages and training state are unsharded files for any number of ranks. In a sharded run each rank writes
    its optimiser state to `shares/`. Each rank writes its per-rank state to `ranks/`.
    """
    ranks = step.ranks
    names = {id(t): name for name, t in method.state_dict(keep_vars=True).items()}
    averages = {
        names[id(p)]: mean for t in step.trainees.values() for p, mean in zip(t.followed, t.average, strict=False)
    }
    training: dict[str, Tensor] = {}
    for rank, drawn in enumerate(ranks.gather_data(random_state())):
        training |= {f"random/{rank}/{name}": part for name, part in drawn.items()}
    training |= {f"state/{name}": tensor for name, tensor in method.training_tensors().items()}
    for rank, sums in enumerate(ranks.gather_data(step.telemetry.state())):
        training |= {f"telemetry/{rank}/{name}": total for name, total in sums.items()}
    groups = {}
    for name, trainee in step.trainees.items():
        groups[name], flat = _flatten(trainee.player.optimiser)
        training |= {f"optimiser/{name}/{k}": v for k, v in flat.items()}
    weights = {"weights": dict(method.state_dict()), "average": averages}
    shares: dict[str, Tensor] = {}
    sharded = any(trainee.sharded for trainee in step.trainees.values())
    if sharded:
        from genera.engine import sharding

        training, shares = sharding.divided(training)
    moved = [name for name, trainee in step.trainees.items() if ranks.agree(float(trainee.has_moved()))]

    target = folder / name_of(position.step)
    with atomic(target) if ranks.main else nullcontext() as temporary:
        if temporary:
            temporary.mkdir()
        written: list[Path] = []
        shared = ranks.gather(temporary)[0]
        if shares:
            written += sharding.write_shares(shared / SHARES, shares, ranks)
        if (kept := method.rank_tensors()) and ranks.rank % ranks.mesh.tensor == 0:
            written.append(_write_rank(shared / RANKS, kept, ranks))
        fingerprints: dict[str, dict[str, int]] = {}
        for files_of_rank in ranks.gather({p.relative_to(shared).as_posix(): checksum(p) for p in written}):
            fingerprints |= files_of_rank
        for name, tensors in weights.items():
            file = temporary / f"{name}.safetensors" if temporary else None
            if sharded and tensors:
                sharding.write_whole(file, tensors, arrangements(method, parts_of(method)))
            elif file and tensors:
                write_tensors(file, tensors)
        if temporary:
            write_tensors(temporary / "training.safetensors", training)
            fingerprints |= {p.name: checksum(p) for p in sorted(temporary.glob("*.safetensors"))}
            write_json(
                temporary / "state.json",
                {
                    "position": vars(position),
                    "groups": groups,
                    "scaler": step.scaler.state_dict() if step.scaler else None,
                    "values": method.training_values(),
                    "telemetry": step.telemetry.counts,
                    "moved": moved,
                    "tensor_parallel": parts_of(method),
                    "files": fingerprints,
                },
            )
            if target.exists():  # from before the run was rewound to an earlier checkpoint
                _remove(target)
    if ranks.main:
        _prune(folder, target, position, keep)
    ranks.barrier()


def _write_rank(folder: Path, tensors: dict[str, Tensor], ranks: Ranks) -> Path:
    path = folder / f"rank-{ranks.data_rank:05d}.safetensors"
    try:
        folder.mkdir(exist_ok=True)
        write_tensors(path, tensors)
    except OSError as error:
        raise GeneraError(f"rank {ranks.rank} cannot write {path}: {error.strerror or error}.") from None
    return path


def _prune(folder: Path, target: Path, position: Position, keep: int) -> None:
    checkpoints = list_checkpoints(folder)
    newest = [p for p in checkpoints if p.name <= target.name][-keep:]  # later ones are from before a rewind
    for old in checkpoints:
        if old not in newest and old.name != name_of(position.best_step or 0):
            _remove(old)


def _remove(checkpoint: Path) -> None:
    """Rename first, so that a kill during deletion leaves no partial checkpoint under a valid name."""
    hidden = checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.gone.tmp"))
    shutil.rmtree(hidden)


def clean(folder: Path) -> None:
    """Remove partial checkpoints of a killed process."""
    for leftover in folder.glob(".step-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def _flatten(optimiser: Optimizer) -> tuple[list[Any], dict[str, Tensor]]:
    state = optimiser.state_dict()
    flat = {f"{i}/{k}": torch.as_tensor(v) for i, entry in state["state"].items() for k, v in entry.items()}
    return state["param_groups"], flat


# reading


@dataclass(frozen=True)
class _Written:
    """Size and checksum of a file."""

    bytes: int
    crc32: int


@dataclass(frozen=True)
class _State:
    """state.json of a checkpoint."""

    position: dict[str, Any]
    groups: dict[str, list[dict[str, Any]]]
    scaler: dict[str, Any] | None
    files: dict[str, _Written]
    values: dict[str, Any] = field(default_factory=dict)
    tensor_parallel: int = 1
    """number of parts in whose order the optimiser state in `shares` is"""


ADVICE = "resume from the previous one with --resume previous (or use --checkpoint previous)"


def _read_state(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "state.json"
    try:
        state = read_json(path)
    except GeneraError as error:
        raise GeneraError(f"{str(error).partition('; ')[0]}; {ADVICE}.") from None
    if problem := mismatch(state, _State):
        raise GeneraError(f"{path} is damaged ({problem}); {ADVICE}.")
    return state


def read_tensors(checkpoint: Path, name: str) -> dict[str, Tensor]:
    """The verified tensors of one file of a checkpoint. Raises GeneraError for a missing or damaged file."""
    path = checkpoint / f"{name}.safetensors"
    _verify(path, _read_state(checkpoint)["files"].get(f"{name}.safetensors"))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise GeneraError(f"{path} is damaged ({reason(error)}); {ADVICE}.") from None


def verify(checkpoint: Path) -> None:
    """Check every file of a checkpoint. Raises GeneraError for a missing or damaged one."""
    for name, written in _read_state(checkpoint)["files"].items():
        _verify(checkpoint / name, written)


def _verify(path: Path, expected: dict[str, int] | None) -> None:
    if not path.is_file():
        raise GeneraError(f"{path} is missing; {ADVICE}.")
    size = path.stat().st_size
    if expected and size != expected["bytes"]:
        raise GeneraError(f"{path} is damaged ({size} bytes instead of {expected['bytes']}); {ADVICE}.")
    if expected and checksum(path) != expected:
        raise GeneraError(f"{path} is damaged (its checksum is not the one written); {ADVICE}.")


def load_weights(method: nn.Module, checkpoint: Path, *, average: bool = True) -> None:
    """Load a checkpoint's weights into `method`; with `average`, moving averages replace the weights that have them.

    Raises:
        GeneraError: the checkpoint is from another method or size; names the tensors.
    """
    _load(method, checkpoint, method.state_dict(), weights_of(checkpoint, average=average))


def load_networks(method: nn.Module, checkpoint: Path, names: Sequence[str]) -> None:
    """Load only the networks `names` (children of the method) from a checkpoint.

    Raises GeneraError for a network of another size; names the tensors.
    """
    ours, theirs = (
        {name: tensor for name, tensor in state.items() if name.partition(".")[0] in names}
        for state in (method.state_dict(), weights_of(checkpoint))
    )
    _load(method, checkpoint, ours, theirs)


def _load(method: nn.Module, checkpoint: Path, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Copy whole tensors into some of the method's, of which this rank may hold shares. Files are mapped into memory,
    so that one tensor at a time is read."""
    arranged = arrangements(method, parts_of(method))
    _check_fit(checkpoint, {name: whole_shape(t, arranged.get(name)) for name, t in ours.items()}, theirs)
    if not any(map(is_share, ours.values())):
        method.load_state_dict(theirs, strict=False)
        return
    for name, tensor in theirs.items():
        assign(ours[name], tensor, arranged.get(name))


def networks(names: Iterable[str]) -> list[str]:
    """Names of the networks that the named tensors belong to, in order of appearance."""
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def weights_of(checkpoint: Path, *, average: bool = True) -> dict[str, Tensor]:
    """The weights of a checkpoint; with `average`, moving averages replace the weights that have them."""
    tensors = read_tensors(checkpoint, "weights")
    if average and (checkpoint / "average.safetensors").exists():
        tensors |= read_tensors(checkpoint, "average")
    return tensors


def _check_fit(checkpoint: Path, expected: dict[str, torch.Size], tensors: dict[str, Tensor]) -> None:
    wrong = [f"{k} is missing" for k in expected.keys() - tensors.keys()]
    wrong += [f"{k} is not part of this method" for k in tensors.keys() - expected.keys()]
    wrong += [
        f"{k} is {tuple(tensors[k].shape)} and must be {tuple(expected[k])}"
        for k in expected.keys() & tensors.keys()
        if tensors[k].shape != expected[k]
    ]
    if wrong:
        shown = "; ".join(sorted(wrong)[:4]) + (f"; and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise GeneraError(f"{checkpoint} is of another method or size: {shown}.")


def position_of(checkpoint: Path) -> Position:
    return from_dict(Position, _read_state(checkpoint)["position"], f"{checkpoint / 'state.json'}: position")


def load_training(checkpoint: Path, method: StatefulModule, step: Step) -> None:
    """Restore weights, optimisers, averages, loss scale, random states, and the method's training and per-rank state,
    to resume exactly where `save` was called. The number of ranks and the sharding may differ.

    Raises:
        GeneraError: a file is damaged, the method has other state, or per-rank state does not divide over the ranks.
    """
    load_weights(method, checkpoint, average=False)
    tensors, state = read_tensors(checkpoint, "training"), _read_state(checkpoint)
    tensors |= _read_shares(checkpoint, method, step)
    arranged = _arrangements(method, parts_of(method))
    names = {id(t): name for name, t in method.state_dict(keep_vars=True).items()}
    averages = read_tensors(checkpoint, "average") if any(t.average for t in step.trainees.values()) else {}
    for name, trainee in step.trainees.items():
        parameters = _parameters(trainee)
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimiser/{name}/"):
                index, field = key.removeprefix(f"optimiser/{name}/").split("/", 1)
                parameter = parameters[int(index)]
                alike = value.shape in (parameter.shape, whole_shape(parameter, arranged.get(id(parameter))))
                placed = _placed(value, parameter, arranged.get(id(parameter))) if alike else value
                entries.setdefault(int(index), {})[field] = placed
        trainee.player.optimiser.load_state_dict({"state": entries, "param_groups": state["groups"][name]})
        trainee.resume(moved=name in state.get("moved", step.trainees))  # older checkpoints do not say
        for tensor, mean in zip(trainee.followed, trainee.average, strict=False):
            assign(mean, averages[names[id(tensor)]], arranged.get(id(tensor)))
    if step.scaler:
        step.scaler.load_state_dict(state["scaler"])
    _restore_state(checkpoint, method, tensors, state, step.ranks)
    _restore_telemetry(step, tensors, state.get("telemetry", {}))  # older checkpoints have none
    if saved := _below(f"random/{step.ranks.data_rank}/", tensors):
        restore_random_state(saved)


def _restore_telemetry(step: Step, tensors: dict[str, Tensor], counts: dict[str, int]) -> None:
    """The sums since the last line of the metrics, so that the next line is that of an uninterrupted run."""
    saved_by = sorted({int(key.split("/")[1]) for key in tensors if key.startswith("telemetry/")})
    sums = [_below(f"telemetry/{rank}/", tensors) for rank in saved_by]
    if sums and all(part.keys() == counts.keys() for part in sums):
        step.telemetry.restore(sums, counts)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _restore_state(
    checkpoint: Path, method: StatefulModule, tensors: dict[str, Tensor], state: dict[str, Any], ranks: Ranks
) -> None:
    kept = _below("state/", tensors)
    values = state.get("values", {})
    expected = {*method.training_tensors(), *method.training_values()}
    if lacking := sorted(expected - kept.keys() - values.keys()):
        raise GeneraError(f"{checkpoint} is of another method or version: it lacks the training state {lacking[0]!r}.")
    files = sorted(name for name in state["files"] if name.startswith(f"{RANKS}/"))
    method.restore_state(kept | _rank_state(checkpoint, files, ranks), values)


def _rank_state(checkpoint: Path, files: list[str], ranks: Ranks) -> dict[str, Tensor]:
    """This rank's state as it was saved; if the number of ranks differs, its share of the rows of all ranks."""
    names = [name.removesuffix(".safetensors") for name in files]
    if not names or len(names) == ranks.data_world:
        return read_tensors(checkpoint, names[ranks.data_rank]) if names else {}
    parts = [read_tensors(checkpoint, name) for name in names]
    shares = {}
    for name, first in parts[0].items():
        rows = sum(len(part[name]) for part in parts) if first.ndim else 0
        if rows % ranks.data_world or not first.ndim:
            held = f"{rows} rows" if first.ndim else "no rows"
            raise GeneraError(
                f"per-rank state {name!r} of {checkpoint} has {held} to divide over {ranks.data_world} ranks; resume "
                f"on {len(names)}, as it was saved."
            )
        shares[name] = torch.cat([part[name] for part in parts]).chunk(ranks.data_world)[ranks.data_rank]
    return shares


def _read_shares(checkpoint: Path, method: nn.Module, step: Step) -> dict[str, Tensor]:
    """Optimiser state saved by a sharded run, laid out as this run's parameters: in shares or whole."""
    state = _read_state(checkpoint)
    files = [name for name in state["files"] if name.startswith(SHARES)]
    if not files:
        return {}
    from genera.engine import sharding

    ranks, folder = step.ranks, checkpoint / SHARES
    for name in files[ranks.rank :: ranks.world]:  # each rank verifies some of the files
        _verify(checkpoint / name, state["files"][name])
    saved, ours = (_arrangements(method, parts) for parts in (state.get("tensor_parallel", 1), parts_of(method)))
    result, direct = {}, {}
    for key, shape in sharding.shapes_in(folder).items():
        _, player, index, _ = key.split("/")
        parameter = _parameters(step.trainees[player])[int(index)]
        theirs, our = saved.get(id(parameter)), ours.get(id(parameter))
        if theirs == our:
            direct[key] = torch.zeros_like(parameter).detach()
            _check_shape(checkpoint, key, shape, parameter.shape)
        else:  # in another order of rows
            rows = shape[0] if theirs is None else theirs.held_rows
            _check_shape(checkpoint, key, shape, torch.Size((rows, *parameter.shape[1:])))
            held = sharding.read_whole(folder, key, shape)
            result[key] = _placed(held if theirs is None else theirs.whole(held), parameter, our)
    sharding.read_shares(folder, direct, ranks)
    return result | direct


def _check_shape(checkpoint: Path, name: str, shape: torch.Size, expected: torch.Size) -> None:
    if shape != expected:
        raise GeneraError(
            f"{checkpoint} is of another layout: {name} is {tuple(shape)} and must be {tuple(expected)}; {ADVICE}."
        )


def _arrangements(method: nn.Module, parts: int) -> dict[int, Arrangement]:
    """id of a parameter → the order in which `parts` parts hold its rows, where it is not that of files."""
    arranged = arrangements(method, parts)
    return {id(p): arranged[name] for name, p in method.named_parameters() if name in arranged}


def _parameters(trainee: Trainee) -> list[Tensor]:
    """In the order of the optimiser's state."""
    return [p for group in trainee.player.optimiser.param_groups for p in group["params"]]


def _placed(tensor: Tensor, like: Tensor, arrangement: Arrangement | None = None) -> Tensor:
    """This rank's share of `tensor` if `like` is a share; else `tensor` with the memory layout of `like`, since fused
    optimisers traverse weights and moments in memory order."""
    if is_share(tensor):
        return tensor
    if not is_share(like):
        return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)
    share = torch.zeros_like(like).detach()
    assign(share, tensor, arrangement)
    return share
