"""The options of the method. Each field is an option of `genera train my-vae:PRESET`. No torch."""

from dataclasses import dataclass

from genera.engine.optimiser_config import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class MyVaeConfig(OptimiserConfig):
    """Convolutional VAE of images."""

    lr: float = 1e-3
    """Peak learning rate."""
    latent_size: int = 16
    """Dimensions of the latent."""
    width: int = 32
    """Channels of the first convolution; they double each time the image is halved."""
    beta: float = 1.0
    """Weight of the KL term; 1 is the evidence lower bound."""

    def check(self) -> list[str]:
        rules = [
            (self.latent_size >= 1, f"--latent-size must be at least 1, got {self.latent_size}"),
            (self.width >= 1, f"--width must be at least 1, got {self.width}"),
            (self.beta >= 0, f"--beta must be 0 or above, got {self.beta}"),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]
