"""What can be chosen in feature quantisation. The defaults are those of the released code. No torch."""

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin


@dataclass(frozen=True, kw_only=True)
class QuantiserConfig:
    """A dictionary after each of some layers of a discriminator (Zhao et al. 2020)."""

    after: tuple[str, ...] = ()
    """Layers whose output is quantised, as paths in the discriminator (blocks.0, blocks.2); none: no quantisation."""
    codes: tuple[int, ...] = (1024,)
    """Codes K of each dictionary: one number for all layers, or one a layer."""
    decay: float = 0.8
    """Decay λ of the moving averages that the codes are, per update."""
    weight: float = 0.5
    """Weight α of the commitment loss."""
    mode: Literal["commit", "quantize"] = "commit"
    """commit: the next layer sees the features as they are, and only the commitment loss acts (the released code).
    quantize: it sees their codes, with the gradient passed straight through (the paper)."""
    warmup: int = 0
    """Updates of the dictionary during which `quantize` still passes the features on."""
    init: Literal["normal", "variance_scaling", "data"] = "normal"
    """First codes: N(0, 1); N(0, 1/C) cut at two standard deviations; or features of the first turn."""
    ema: Literal["release", "debias", "ones"] = "release"
    """Start of the averages. release: counts 0, sums the codes; debias: both 0, divided by 1 - λ^t; ones: counts 1,
    sums the codes, so that an unused code keeps its place until its count, too, has shrunk to nothing."""
    revive_below: float = 0.0
    """A code whose average count of features per update falls below this moves to a current feature, where it counts
    as one; 0 never."""
    update_from: Literal["both", "real", "fake"] = "both"
    """Features that move the dictionary."""
    update_on_generator_steps: bool = True
    """Whether fakes of the generator's turns move it too."""

    def check(self) -> list[str]:
        rules = [
            (all(k >= 2 for k in self.codes), f"--quantiser.codes must be at least 2, got {self.codes}"),
            (
                len(self.codes) in (1, len(self.after)),
                f"--quantiser.codes has {len(self.codes)} numbers for {len(self.after)} layers; give 1 or as many",
            ),
            (len(set(self.after)) == len(self.after), f"--quantiser.after names a layer twice: {self.after}"),
            (0 < self.decay < 1, f"--quantiser.decay must lie between 0 and 1, got {self.decay}"),
            (self.weight >= 0, f"--quantiser.weight must be 0 or above, got {self.weight}"),
            (self.warmup >= 0, f"--quantiser.warmup must be 0 or above, got {self.warmup}"),
            (
                self.warmup == 0 or self.mode == "quantize",
                f"--quantiser.warmup {self.warmup} is for the mode quantize, not for {self.mode}",
            ),
            (0 <= self.revive_below < 1, f"--quantiser.revive-below must lie in [0, 1), got {self.revive_below}"),
        ]
        choices = {f.name: get_args(f.type) for f in fields(self) if get_origin(f.type) is Literal}
        rules += [
            (
                getattr(self, name) in known,
                f"--quantiser.{name.replace('_', '-')} must be {' or '.join(known)}, got {getattr(self, name)!r}",
            )
            for name, known in choices.items()
        ]
        return [complaint for holds, complaint in rules if not holds]
