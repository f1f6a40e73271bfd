"""Config of StyleGAN2. The defaults are the published settings of config-e. No torch."""

from dataclasses import dataclass, field
from typing import ClassVar

from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.engine.optimiser_config import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class StyleGan2Config(OptimiserConfig):
    """StyleGAN2 of Karras et al. 2020, without labels."""

    optimisers: ClassVar[tuple[str, ...]] = ("adam", "adamw", "nadam", "radam", "adamax")
    """Adam settings; lazy regularisation corrects the rate and the decays of the moments."""

    optimiser: str = "adam"
    schedule: str = "constant"
    betas: tuple[float, float] = (0.0, 0.99)
    """Decays of the first and second moment, before the correction for lazy regularisation."""
    base_width: int = 8192
    """Channels at R pixels are min(2 base / R, max_width): 8192 is config-e, 16384 config-f."""
    max_width: int = 512
    """Maximum number of channels of a layer."""
    latent_size: int = 512
    """Dimensions of z and of w."""
    mapping_layers: int = 8
    """Fully connected layers from z to w."""
    mapping_rate: float = 0.01
    """Learning rate of the mapping network, relative to the other layers'."""
    mean_w_decay: float = 0.995
    """Decay per step of the mean w, the centre of truncation."""
    stddev_group: int = 4
    """Group size of D's minibatch standard deviation."""

    lr: float = 0.002
    """Peak learning rate of both players, before the correction for lazy regularisation."""
    mixing: float = 0.9
    """Probability that a batch mixes the styles of two latents."""
    r1: float = 100.0
    """Weight γ of D's gradient penalty γ/2·|∇D(x)|² on real images (config-f: 10); 0 disables it."""
    r1_every: int = 16
    """Steps between gradient penalties; the penalty is multiplied by this number."""
    path_weight: float = 2.0
    """Weight of G's path-length penalty; 0 disables it."""
    path_every: int = 4
    """Steps between path-length penalties; the penalty is multiplied by this number."""
    path_decay: float = 0.99
    """Decay per penalty of the mean path length."""
    path_shrink: int = 2
    """Divisor of the batch size for the path-length penalty."""
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    """Feature quantisation in D; `after` names blocks by the log2 of their input size: blocks.5, blocks.4."""

    def width(self, level: int) -> int:
        """Channels at 2^level pixels."""
        return min(self.base_width // 2 ** (level - 1), self.max_width)

    def check(self) -> list[str]:
        least = {
            "base_width": 8, "max_width": 1, "latent_size": 1, "mapping_layers": 1, "stddev_group": 1,
            "r1": 0, "r1_every": 1, "path_weight": 0, "path_every": 1, "path_shrink": 1,
        }  # fmt: skip
        wrong = [
            f"--{name.replace('_', '-')} must be at least {low}, got {getattr(self, name)}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        rules = [
            (self.mapping_rate > 0, f"--mapping-rate must be above 0, got {self.mapping_rate}"),
            (0 <= self.mixing <= 1, f"--mixing must lie in [0, 1], got {self.mixing}"),
            (0 <= self.mean_w_decay < 1, f"--mean-w-decay must lie in [0, 1), got {self.mean_w_decay}"),
            (0 <= self.path_decay < 1, f"--path-decay must lie in [0, 1), got {self.path_decay}"),
        ]
        return super().check() + wrong + [complaint for holds, complaint in rules if not holds] + self.quantiser.check()

    def check_data(self, data: ImageConfig) -> list[str]:
        size = data.image_size
        rules = [
            (size >= 8 and size & (size - 1) == 0, f"--image-size must be 8, 16, 32, … for stylegan2, got {size}"),
            (
                2 * self.base_width >= size,
                f"--base-width {self.base_width} leaves no channel at {size} pixels; it must be at least {size // 2}",
            ),
        ]
        return [complaint for holds, complaint in rules if not holds]
