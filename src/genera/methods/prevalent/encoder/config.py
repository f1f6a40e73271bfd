"""Settings of the image-text encoder and its pre-training. The defaults are the published ones. No torch."""

from dataclasses import dataclass
from typing import ClassVar

from genera.blocks.size import TransformerShape
from genera.engine.optimiser_config import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(TransformerShape):
    """The encoder: BERT's text layers, then cross-modal layers between text and views."""

    layers: int = 9
    """text layers"""
    hidden: int = 768
    """width of the states; a multiple of `heads`"""
    heads: int = 12
    """attention heads a layer"""
    feed_forward: int = 3072
    """inner width of the feed-forward layers"""
    positions: int = 512
    """longest instruction, in tokens"""
    dropout: float = 0.1
    """probability to drop, in 0 .. 1, one rate for embeddings, attention and residuals"""
    cross_layers: int = 4
    """cross-modal layers (the released checkpoint has 4, the paper's text says 3)"""
    pretrained: str | None = None
    """Initial weights: a safetensors file with the names of the released PREVALENT checkpoint [random]."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(OptimiserConfig):
    """Pre-training on triplets (panorama, instruction, action): attended masked words and action prediction."""

    prefix: ClassVar[str] = "pretrain."

    batch_size: int = 96
    """Triplets a step, over all ranks."""
    mlm_weight: float = 1.0
    """Weight of the masked-word loss; 0 removes the loss and its head."""
    ap_weight: float = 1.0
    """Weight of the action-prediction loss; 0 removes the loss and its head (masked words only)."""
    masked: float = 0.15
    """Share of the words to predict; 80% of them are masked, 10% replaced and 10% kept."""
    synthetic: float = 1.0
    """Share of the synthesised instructions that are added to the annotated ones, 0 .. 1."""
    source: str | None = None
    """Folder of an existing synthesised set, RUN/artefacts/synthesis [the set of this run's synthesis stage]."""
    clip: float | None = None
    """Largest gradient norm of the pre-training, 0 for any [that of --clip, which is for all parts]."""
    steps_of_one: int = 1
    """Triplets of the same instruction in a row of the batch, for which the text layers run once."""

    def check(self) -> list[str]:
        weights = (self.mlm_weight, self.ap_weight)
        rules = [
            (self.batch_size >= 1, f"--pretrain.batch-size must be at least 1, got {self.batch_size}"),
            (
                min(weights) >= 0 and sum(weights) > 0,
                "--pretrain.mlm-weight and --pretrain.ap-weight must not be negative, and one of them above 0",
            ),
            (0 < self.masked < 1, f"--pretrain.masked is a share between 0 and 1, got {self.masked}"),
            (0 <= self.synthetic <= 1, f"--pretrain.synthetic is a share, 0 .. 1, got {self.synthetic}"),
            (self.clip is None or self.clip >= 0, f"--pretrain.clip must be 0 or above, got {self.clip}"),
            (
                self.steps_of_one >= 1 and self.batch_size % self.steps_of_one == 0,
                f"--pretrain.steps-of-one {self.steps_of_one} must divide --pretrain.batch-size {self.batch_size}",
            ),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]
