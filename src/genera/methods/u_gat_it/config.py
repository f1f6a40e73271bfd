"""Config of U-GAT-IT. The defaults are those of the released TensorFlow code. No torch."""

from dataclasses import dataclass, field
from typing import Literal

from genera.blocks.optimisers import ADAM_FAMILY, choice_complaints
from genera.blocks.quantiser_config import QuantiserConfig
from genera.data.images.config import ImageConfig
from genera.engine.config import MethodConfig


@dataclass(frozen=True, kw_only=True)
class UGatItConfig(MethodConfig):
    """U-GAT-IT of Kim et al. 2020: unpaired image-to-image translation with attention and AdaLIN."""

    light: bool = False
    """Derive AdaLIN's γ and β from the attended features' means, not from all of them: 10 instead of 279 million
    parameters a generator at 256 pixels."""
    width: int = 64
    """Channels of the first layer of all networks."""
    blocks: int = 4
    """Residual blocks of G's encoder, and AdaLIN blocks of its decoder."""
    global_halvings: int = 5
    """Number of 2x downsamplings in the global discriminators."""
    local_halvings: int = 3
    """Number of 2x downsamplings in the local discriminators."""
    release: Literal["tensorflow", "pytorch"] = "tensorflow"
    """Which of the authors' two implementations to follow where they differ: padding, biases, attention layers, initial
    ρ and its smoothing, variances, weight decay. The paper's figures are from the TensorFlow implementation."""

    optimiser: str = "adam"
    """Optimiser of all networks, with betas 0.5 and 0.999: adam, adamw, nadam, radam, adamax."""
    lr: float = 1e-4
    """Learning rate of all networks, constant for the first half and then linear to 0."""
    adam_eps: float = 1e-8
    """Epsilon of the optimiser."""
    weight_decay: float = 1e-4
    """Weight of ½|w|², over kernels (tensorflow) or all parameters (pytorch)."""
    adversarial: float = 1.0
    """Weight of the least-squares adversarial losses."""
    cycle: float = 10.0
    """Weight of |G_ba(G_ab(a)) - a|."""
    identity: float = 10.0
    """Weight of |G_ba(a) - a|."""
    attention: float = 1000.0
    """Weight of the generators' domain classification (CAM), the source of their attention maps."""
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    """Feature quantisation in the global discriminators: layers.0, layers.1, …"""

    def check(self) -> list[str]:
        least = {"width": 1, "blocks": 1, "global_halvings": 1, "local_halvings": 1}
        least |= dict.fromkeys(("weight_decay", "adversarial", "cycle", "identity", "attention"), 0)
        wrong = [
            f"--{name.replace('_', '-')} must be at least {low}, got {getattr(self, name)}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        rules = [
            (self.lr > 0, f"--lr must be above 0, got {self.lr}"),
            (self.adam_eps > 0, f"--adam-eps must be above 0, got {self.adam_eps}"),
        ]
        wrong += choice_complaints(self.optimiser, "--optimiser", ADAM_FAMILY)
        return wrong + [complaint for holds, complaint in rules if not holds] + self.quantiser.check()

    def check_data(self, data: ImageConfig) -> list[str]:
        halvings = max(self.global_halvings, self.local_halvings, 2)
        if data.image_size % 2**halvings == 0 and data.image_size >> halvings >= 3:
            return []
        return [
            f"--image-size must be a multiple of {2**halvings} and at least {3 * 2**halvings} for {halvings} halvings, "
            f"got {data.image_size}; or lower --global-halvings and --local-halvings"
        ]
