"""Options of feature quantisation. The defaults are those of the released code. No torch."""

from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin


@dataclass(frozen=True, kw_only=True)
class QuantiserConfig:
    """Feature quantisation of a discriminator (Zhao et al. 2020)."""

    after: tuple[str, ...] = ()
    """Layers whose output is quantised, as paths in the discriminator (blocks.0, blocks.2); empty: no quantisation."""
    codes: tuple[int, ...] = (1024,)
    """Codes K per dictionary: one number for all layers, or one per layer."""
    decay: float = 0.8
    """Decay λ per update of the moving averages that define the codes."""
    weight: float = 0.5
    """Weight α of the commitment loss."""
    mode: Literal["commit", "quantize"] = "commit"
    """commit: the next layer receives the unchanged features, and only the commitment loss has an effect (the released
    code). quantize: it receives the codes, with a straight-through gradient (the paper)."""
    warmup: int = 0
    """Dictionary updates during which `quantize` still passes on the unchanged features."""
    init: Literal["normal", "variance_scaling", "data"] = "normal"
    """Initial codes. normal: N(0, 1); variance_scaling: N(0, 1/C), truncated at two standard deviations; data:
    features of the first turn."""
    ema: Literal["release", "debias", "ones"] = "release"
    """Initial averages. release: counts 0, sums equal to the codes; debias: both 0, divided by 1 - λ^t; ones: counts 1,
    sums equal to the codes, so that an unused code stays in place until its count has decayed."""
    revive_below: float = 0.0
    """Reset a code to a current feature, with a count of one, when its average count per update falls below this;
    0: never."""
    update_from: Literal["both", "real", "fake"] = "both"
    """Images whose features update the dictionary."""
    update_on_generator_steps: bool = True
    """Whether fake images of generator turns also update the dictionary."""

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
                f"--quantiser.warmup {self.warmup} needs --quantiser.mode quantize, got {self.mode}",
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
