"""Options shared by the commands that use a trained model: loading and decoding."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genera.run import Run


@dataclass(frozen=True, kw_only=True)
class UseOptions:
    """Options of every command that loads a run."""

    checkpoint: str = "last"
    """Checkpoint to load: last, best, previous or a step number."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print JSON on stdout."""

    def load(self, path: Path) -> "Run":
        from genera.run import load

        return load(path, device=self.device, checkpoint=self.checkpoint)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(UseOptions):
    """Options of every command that generates. Defaults are the method's."""

    temperature: float | None = None
    """0 is greedy, 1 samples from the model."""
    top_k: int | None = None
    """Sample from the k most likely tokens."""
    top_p: float | None = None
    """Sample from the smallest set of most likely tokens with at least this total probability."""
    max_tokens: int | None = None
    """Maximum number of new tokens."""
    seed: int = 0
    """Random seed."""

    def options(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "max_tokens")}
        return {name: value for name, value in values.items() if value is not None} | {"seed": self.seed}
