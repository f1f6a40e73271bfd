"""What can be chosen in Optimus. The defaults are the published settings. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.blocks.size import BERT_BASE, GPT2_BASE, TransformerShape
from genera.data.config import DataConfig
from genera.engine.config import AdamWConfig


@dataclass(frozen=True, kw_only=True)
class OptimusConfig(AdamWConfig):
    """Text VAE of Li et al. 2020: BERT encoder, Gaussian latent, GPT-2 decoder."""

    encoder: TransformerShape = BERT_BASE
    """Size of the BERT encoder; its vocabulary follows the tokeniser."""
    decoder: TransformerShape = GPT2_BASE
    """Size of the GPT-2 decoder; its vocabulary follows the tokeniser."""
    pretrained_encoder: str | None = None
    """BERT weights to begin with: a directory in Hugging Face layout or a hub name [none: random]."""
    pretrained_decoder: str | None = None
    """GPT-2 weights to begin with: a directory in Hugging Face layout or a hub name [none: random]."""
    latent_size: int = 32
    """Dimensions P of the latent z."""
    feature: Literal["pooler", "cls", "mean"] = "pooler"
    """Sentence feature h: BERT's tanh pooler, the last layer's [CLS], or the mean over its tokens."""
    injection: Literal["both", "memory", "embedding"] = "both"
    """How the decoder sees z: as one extra key and value in each layer, added to every embedding, or both."""
    latent_init: float = 0.02
    """Standard deviation of the initial weights of the three latent maps."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    beta: float = 1.0
    """Largest weight of the KL term; 0 trains an autoencoder (that still samples z)."""
    beta_schedule: Literal["constant", "monotone", "cyclical"] = "cyclical"
    """Constant; one rise; or equal cycles of zero, rise and plateau."""
    beta_cycles: int = 1
    """Cycles of the cyclical schedule."""
    beta_hold: float = 0.5
    """Share of a cycle (or of the run, if monotone) at zero."""
    beta_ramp: float = 0.25
    """Share of a cycle (or of the run, if monotone) for the linear rise."""
    free_bits: float = 0.5
    """Threshold lambda in nats per dimension, below which the KL is not pressed further; 0 for none."""
    free_bits_over: Literal["sentence", "batch"] = "sentence"
    """Apply the threshold to each sentence's KL per dimension, or to its mean over the batch."""
    length_weighted: bool = False
    """Divide each sentence's reconstruction term by its length (the KL is not divided, so beta weighs more)."""
    unit_variance: bool = False
    """Fix the posterior's variance to 1 ("deterministic connect" of the released code), so that KL = |mean|^2 / 2."""

    def check(self) -> list[str]:
        rules = [
            (self.latent_size >= 1, f"--latent-size must be at least 1, got {self.latent_size}"),
            (self.beta >= 0, f"--beta must be 0 or above, got {self.beta}"),
            (self.beta_cycles >= 1, f"--beta-cycles must be at least 1, got {self.beta_cycles}"),
            (
                self.beta_hold >= 0 and self.beta_ramp >= 0 and self.beta_hold + self.beta_ramp <= 1,
                f"--beta-hold {self.beta_hold} and --beta-ramp {self.beta_ramp} must be shares that sum to at most 1",
            ),
            (
                self.beta_schedule == "cyclical" or self.beta_cycles == 1,
                f"--beta-cycles is for the cyclical schedule, not for {self.beta_schedule}",
            ),
            (self.free_bits >= 0, f"--free-bits must be 0 or above, got {self.free_bits}"),
            (self.latent_init > 0, f"--latent-init must be above 0, got {self.latent_init}"),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]

    def check_data(self, data: DataConfig) -> list[str]:
        longest = min(self.encoder.positions, self.decoder.positions)  # the memory slot takes the place of BOS
        if data.max_tokens <= longest:
            return []
        return [f"--max-tokens {data.max_tokens} exceeds the {longest} positions of encoder and decoder"]
