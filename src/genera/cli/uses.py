"""Options shared by the commands that use a trained model: loading and decoding."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genera.run import Run

WORDS = ("temperature", "top_k", "top_p", "max_tokens", "beams", "length_penalty")
"""Options of `DecodeOptions` that are for sentences."""


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
    beams: int | None = None
    """Beam search with this many hypotheses, instead of greedy decoding or sampling."""
    length_penalty: float | None = None
    """Beam search ranks by log-probability / length ** this [1]; 0 ranks by log-probability."""
    seed: int = 0
    """Random seed."""

    def options(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in WORDS}
        return {name: value for name, value in values.items() if value is not None} | {"seed": self.seed}
