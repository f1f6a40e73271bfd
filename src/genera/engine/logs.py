"""Output during training: a status line, metrics.jsonl, and optional dashboards."""

import sys
from typing import Any, Protocol

import torch

from genera.console import console, is_main_rank, progress_bar
from genera.engine.folder import RunFolder
from genera.errors import GeneraError

HIDDEN = {"step", "stage", "epoch", "seconds"}


class Tracker(Protocol):
    def log(self, row: dict[str, Any], step: int) -> None: ...


def open_tracker(name: str, folder: RunFolder, config: dict[str, Any]) -> Tracker:
    """A dashboard by name. Raises GeneraError with the install line when its package is missing."""
    try:
        if name == "tensorboard":
            from tensorboardX import SummaryWriter

            return _TensorBoard(SummaryWriter(str(folder.path / "tensorboard")))
        if name == "wandb":
            import wandb

            return wandb.init(project="genera", name=folder.path.name, dir=str(folder.path), config=config)
        import trackio

        return trackio.init(project="genera", name=folder.path.name, config=config)
    except ImportError:
        raise GeneraError(f'--track {name} needs an extra package: pip install "genera[track]".') from None


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def log(self, row: dict[str, Any], step: int) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "step":
                self.writer.add_scalar(name, value, step)
        self.writer.flush()


def memory_megabytes(device: torch.device) -> float | None:
    """Peak memory of this process; on the device if it reports it. None on the CPU of Windows, which lacks the call."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class Log:
    """Writes rows to metrics.jsonl and the dashboards, and shows the status line."""

    def __init__(self, folder: RunFolder, trackers: list[Tracker], total: int | None) -> None:
        self.folder, self.trackers = folder, trackers
        self.bar = progress_bar()
        self.task = self.bar.add_task("training", total=total)
        self.bar.start()

    def advance(self, step: int) -> None:
        self.bar.update(self.task, completed=step)

    def write(self, row: dict[str, Any], left: float | None = None) -> None:
        """row: one line of metrics.jsonl. left: remaining seconds, for the status line."""
        if not is_main_rank():
            return
        self.folder.log(row)
        for tracker in self.trackers:
            tracker.log(row, row["step"])
        line = status_line(row, left, console.width)
        self.bar.update(self.task, description=line)
        if not console.is_terminal:
            console.print(line, markup=False)

    def close(self) -> None:
        self.bar.stop()


def status_line(row: dict[str, Any], left: float | None = None, width: int = 120) -> str:
    """`step 150 · loss 4.2 · kl 1.3 · 512 items/s · 410 MB · 2:10 left`, in at most `width` characters if the step, the
    losses and the speed fit; metrics.jsonl has every term."""
    units = {"items_per_second": "{:.0f} items/s", "memory_mb": "{:.0f} MB"}
    values = {k: v for k, v in row.items() if k not in HIDDEN and isinstance(v, int | float)}
    last = [form.format(values.pop(name)) for name, form in units.items() if name in values]
    if left is not None:
        last.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
    texts = {name: f"{name} {value:.4g}" for name, value in values.items()}
    room = width - sum(len(part) + 3 for part in last) - len(f"step {row['step']}")
    shown = set()
    for name in sorted(texts, key=_importance):
        room -= len(texts[name]) + 3
        if room < 0 and _importance(name) > 0:
            break
        shown.add(name)
    return " · ".join([f"step {row['step']}", *(text for name, text in texts.items() if name in shown), *last])


def _importance(term: str) -> int:
    """0 for the losses that players minimise, 1 for their terms, 2 for diagnostics."""
    *player, name = term.removeprefix("valid/").split("/")
    if name in ("lr", "grad_norm"):
        return 2
    return 0 if name == "loss" and len(player) < 2 else 1
