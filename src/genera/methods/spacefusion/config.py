"""Config of SpaceFusion, StyleFusion and their Seq2Seq baseline. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.data.dialogues.config import DialogueConfig
from genera.engine.optimiser_config import OptimiserConfig
from genera.methods.families.text_vae_config import TextVaeConfig


@dataclass(frozen=True, kw_only=True)
class SpaceFusionConfig(TextVaeConfig, OptimiserConfig):
    """Dialogue responses with the networks of Optimus: contexts and responses share one latent space."""

    objective: Literal["spacefusion", "stylefusion", "seq2seq"] = "spacefusion"
    """spacefusion: fuse contexts and responses; stylefusion: also fuse with sentences in a style (--style); seq2seq:
    only predict the response."""
    beta: float = 1.0
    """Weight of the distance terms (published runs: 1 to 2)."""
    spread_limit: float = 0.3
    """Distance (root mean square over dimensions) up to which points of the same set repel each other."""
    spread_group: int = 4
    """Number of neighbouring rows of a batch that repel each other; 4 is the whole published batch."""
    between_noise: float = 0.1
    """Standard deviation of the noise on points between a context and its response."""
    context_layers: int = 1
    """Number of last encoder layers that contexts do not share with responses; initialised as copies."""
    freeze_shared: bool = True
    """Freeze the shared encoder layers and the embeddings."""

    def check(self) -> list[str]:
        fused = self.objective != "seq2seq"
        rules = [
            (self.beta >= 0, f"--beta must be 0 or above, got {self.beta}"),
            (self.spread_limit > 0, f"--spread-limit must be above 0, got {self.spread_limit}"),
            (self.spread_group >= 2, f"--spread-group must be at least 2, got {self.spread_group}"),
            (self.between_noise >= 0, f"--between-noise must be 0 or above, got {self.between_noise}"),
            (
                0 <= self.context_layers <= self.encoder.layers,
                f"--context-layers must lie in 0 .. {self.encoder.layers}, got {self.context_layers}",
            ),
            (
                fused or self.context_layers == 0,
                f"seq2seq encodes no responses, so --context-layers must be 0, got {self.context_layers}",
            ),
        ]
        return super().check() + self.check_networks() + [complaint for holds, complaint in rules if not holds]

    def check_data(self, data: DialogueConfig) -> list[str]:
        rules = [
            (
                data.max_tokens <= self.longest,
                f"--max-tokens {data.max_tokens} exceeds the {self.longest} positions of encoder and decoder",
            ),
            (
                data.max_context_tokens <= self.encoder.positions,
                f"--max-context-tokens {data.max_context_tokens} exceeds the {self.encoder.positions} positions of "
                "the encoder",
            ),
            (
                self.objective != "stylefusion" or data.style is not None,
                "stylefusion needs sentences in the style; give --style SOURCE",
            ),
            (
                self.objective == "stylefusion" or data.style is None,
                f"--style is for --objective stylefusion, not for {self.objective}",
            ),
        ]
        return [complaint for holds, complaint in rules if not holds]
