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
    encoder_lr: float | None = None
    """Peak learning rate of the encoder [--lr]."""
    decoder_lr: float | None = None
    """Peak learning rate of the decoder [--lr]."""
    latent_lr: float | None = None
    """Peak learning rate of the latent maps between them [--lr]."""
    head_start: float = 0.0
    """Share of the budget in which only the latent maps learn: encoder and decoder keep their weights, so that a
    pretrained decoder has to read z before it adapts to the corpus."""
    word_dropout: float = 0.0
    """Share of the decoder's input tokens that it does not see in training, so that it has to read z; 1 shows it none
    but the begin token."""
    unit_variance: bool = False
    """Fix the posterior's variance to 1 ("deterministic connect" of the released code), so that KL = |mean|^2 / 2."""

    @property
    def rates(self) -> dict[str, float | None]:
        """part → its own learning rate, if it has one"""
        return {"encoder": self.encoder_lr, "decoder": self.decoder_lr, "latent": self.latent_lr}

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
            *(
                (rate is None or rate > 0, f"--{part}-lr must be above 0, got {rate}")
                for part, rate in self.rates.items()
            ),
            *(
                (part not in self.freeze, f"--{part}-lr has no effect with --freeze {part}")
                for part, rate in self.rates.items()
                if rate is not None
            ),
            (0 <= self.head_start < 1, f"--head-start is a share of the budget in [0, 1), got {self.head_start}"),
            (
                self.head_start == 0 or len(set(self.freeze)) < 2,
                "--head-start has no effect with --freeze encoder decoder, where only the latent maps ever learn",
            ),
            (0 <= self.word_dropout <= 1, f"--word-dropout must lie in [0, 1], got {self.word_dropout}"),
            (self.free_bits >= 0, f"--free-bits must be 0 or above, got {self.free_bits}"),
        ]
        return super().check() + self.check_networks() + [complaint for holds, complaint in rules if not holds]

    def check_data(self, data: DataConfig) -> list[str]:
        if data.max_tokens <= self.longest:
            return []
        return [f"--max-tokens {data.max_tokens} exceeds the {self.longest} positions of encoder and decoder"]
