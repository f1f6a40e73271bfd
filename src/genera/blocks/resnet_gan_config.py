"""Options of the residual class-conditional GAN of BigGAN and TAC-GAN. No torch."""

from dataclasses import dataclass, field
from typing import Literal

from genera.blocks.optimisers import ADAM_FAMILY, choice_complaints
from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.errors import GeneraError


@dataclass(frozen=True)
class Architecture:
    """Widths in units of `config.width`."""

    bottom: int
    """resolution of G's first feature map; each block doubles it"""
    up: tuple[int, ...]
    """widths before and after G's blocks"""
    down: tuple[int, ...]
    """output widths of D's blocks"""
    pooled: int
    """number of D's blocks, the first ones, that halve the resolution"""


ARCHITECTURES = {
    28: Architecture(7, (4, 4, 4), (4, 4, 4, 4), 2),
    32: Architecture(4, (4, 4, 4, 4), (4, 4, 4, 4), 2),
    64: Architecture(4, (16, 16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
    128: Architecture(4, (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
    256: Architecture(4, (16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
}
"""image size → architecture; all but 28 are the published ones"""


def architecture(size: int) -> Architecture:
    """Raises GeneraError for an unsupported size."""
    if complaints := _size_complaints(size):
        raise GeneraError(f"{complaints[0]}.")
    return ARCHITECTURES[size]


def _size_complaints(size: int) -> list[str]:
    *most, last = map(str, ARCHITECTURES)
    known = f"{', '.join(most)} or {last}"
    return [] if size in ARCHITECTURES else [f"--image-size must be {known} for these networks, got {size}"]


@dataclass(frozen=True, kw_only=True)
class ResNetGanConfig:
    """Networks, optimisers and turns; the defaults are the published CIFAR settings. The D turns of a step split the
    batch, so the batch size is the size of a turn times the number of D turns."""

    width: int = 64
    """Channel multiplier ch of both networks."""
    latent_size: int = 128
    """Dimensions of z ~ N(0, I)."""
    shared_embedding: int = 0
    """Size of the class embedding that all layers of G share and map to gains and biases; 0: one per layer."""
    hierarchical: bool = False
    """Split z into equal chunks for the first layer and each block of G (needs --shared-embedding)."""
    attention: int = 0
    """Resolution of the self-attention layer in both networks; 0 for none."""
    norm: Literal["batch", "group"] = "batch"
    """Normalisation in G; group for batches that are too small for batch statistics."""
    test_statistics: Literal["batch", "running"] = "batch"
    """Statistics for batch normalisation when sampling: of the current batch, or running averages."""
    first_weights: Literal["normal", "orthogonal"] = "normal"
    """Weight initialisation: N(0, 0.02²), or orthogonal."""
    spectral_eps: float = 1e-8
    """Minimum norm in the power iteration of spectral normalisation."""
    spectral_iterations: int = 1
    """Power iterations of spectral normalisation per turn; more keep the norm of orthogonal weights nearer to 1."""

    d_steps: int = 4
    """Discriminator turns per generator turn, each on different rows."""
    optimiser: str = "adam"
    """Optimiser of both networks, at a constant rate: adam, adamw, nadam, radam, adamax."""
    g_lr: float = 2e-4
    """Learning rate of the generator."""
    d_lr: float = 2e-4
    """Learning rate of the discriminator."""
    betas: tuple[float, float] = (0.0, 0.999)
    """Decay rates of the first and second moments."""
    adam_eps: float = 1e-8
    """Epsilon of the optimiser."""
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    """Feature quantisation of the discriminator; off if `after` is empty."""

    def check(self) -> list[str]:
        rules = [
            (self.width >= 1, f"--width must be at least 1, got {self.width}"),
            (self.latent_size >= 1, f"--latent-size must be at least 1, got {self.latent_size}"),
            (self.shared_embedding >= 0, f"--shared-embedding must be 0 or above, got {self.shared_embedding}"),
            (not self.hierarchical or self.shared_embedding > 0, "--hierarchical needs a --shared-embedding above 0"),
            (self.spectral_eps > 0, f"--spectral-eps must be above 0, got {self.spectral_eps}"),
            (
                self.spectral_iterations >= 1,
                f"--spectral-iterations must be at least 1, got {self.spectral_iterations}",
            ),
            (self.d_steps >= 1, f"--d-steps must be at least 1, got {self.d_steps}"),
            (self.g_lr > 0 and self.d_lr > 0, f"--g-lr and --d-lr must be above 0, got {self.g_lr} and {self.d_lr}"),
            (
                len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
                f"--betas must be two numbers in [0, 1), got {self.betas}",
            ),
            (self.adam_eps > 0, f"--adam-eps must be above 0, got {self.adam_eps}"),
        ]
        complaints = [complaint for holds, complaint in rules if not holds]
        complaints += choice_complaints(self.optimiser, "--optimiser", ADAM_FAMILY)
        return complaints + (self.quantiser.check() if self.quantiser.after else [])

    def check_data(self, data: ImageConfig) -> list[str]:
        return _size_complaints(data.image_size)
