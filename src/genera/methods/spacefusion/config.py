"""What can be chosen in SpaceFusion, StyleFusion and their Seq2Seq baseline. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.data.dialogues.config import DialogueConfig
from genera.engine.optimiser_config import OptimiserConfig
from genera.methods.families.text_vae_config import TextVaeConfig


@dataclass(frozen=True, kw_only=True)
class SpaceFusionConfig(TextVaeConfig, OptimiserConfig):
    """Dialogue responses on the networks of Optimus: contexts and responses are points of one space."""

    objective: Literal["spacefusion", "stylefusion", "seq2seq"] = "spacefusion"
    """Fuse contexts and responses; also mix with sentences in a style (data.style); or only predict the response."""
    beta: float = 1.0
    """Weight of the distances (the published runs have 1 to 2)."""
    spread_limit: float = 0.3
    """Distance (root mean square over the dimensions) up to which the points of one set press each other apart."""
    spread_group: int = 4
    """Neighbouring rows of a batch that press each other apart; 4 is the whole published batch."""
    between_noise: float = 0.1
    """Standard deviation of the noise on points between a context and its response."""
    context_layers: int = 1
    """Last encoder layers that contexts have for themselves, copies of the responses' at the beginning."""
    freeze_shared: bool = True
    """Leave the encoder layers that both share, and the embeddings, as they are."""

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
                data.max_tokens <= min(self.encoder.positions, self.decoder.positions),
                f"--max-tokens {data.max_tokens} exceeds the {min(self.encoder.positions, self.decoder.positions)} "
                "positions of encoder and decoder",
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
