"""Config of Optimus. The defaults are the published settings. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.data.text.config import DataConfig
from genera.engine.optimiser_config import OptimiserConfig
from genera.methods.families.text_vae_config import TextVaeConfig


@dataclass(frozen=True, kw_only=True)
class OptimusConfig(TextVaeConfig, OptimiserConfig):
    """Text VAE of Li et al. 2020: BERT encoder, Gaussian latent, GPT-2 decoder."""

    beta: float = 1.0
    """Maximum weight of the KL term; 0 trains an autoencoder (that still samples z)."""
    beta_schedule: Literal["constant", "monotone", "cyclical"] = "cyclical"
    """Schedule of beta: constant; monotone, with one linear rise; or cyclical, with equal cycles of zero, rise and
    plateau."""
    beta_cycles: int = 1
    """Number of cycles of the cyclical schedule."""
    beta_hold: float = 0.5
    """Share of a cycle (or of the run, if monotone) at zero."""
    beta_ramp: float = 0.25
    """Share of a cycle (or of the run, if monotone) for the linear rise."""
    free_bits: float = 0.5
    """Threshold lambda in nats per dimension, below which the KL is not penalised; 0 disables it."""
    free_bits_over: Literal["sentence", "batch"] = "sentence"
    """Apply the threshold to each sentence's KL per dimension, or to its mean over the batch."""
    length_weighted: bool = False
    """Divide each sentence's reconstruction term by its length (the KL is not divided, so beta weighs more)."""
    freeze: tuple[Literal["encoder", "decoder"], ...] = ()
    """Parts that keep their weights: encoder, decoder. The features of a frozen encoder are standardised, and computed
    once for all training sentences."""
    unit_variance: bool = False
    """Fix the posterior's variance to 1 ("deterministic connect" of the released code), so that KL = |mean|^2 / 2."""

    def check(self) -> list[str]:
        rules = [
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
        ]
        return super().check() + self.check_networks() + [complaint for holds, complaint in rules if not holds]

    def check_data(self, data: DataConfig) -> list[str]:
        slots = 0 if self.injection == "embedding" else self.memory_slots - 1  # one slot takes the place of BOS
        longest = min(self.encoder.positions, self.decoder.positions - slots)
        if data.max_tokens <= longest:
            return []
        return [f"--max-tokens {data.max_tokens} exceeds the {longest} positions of encoder and decoder"]
