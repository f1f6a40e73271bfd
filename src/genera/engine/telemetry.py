"""Training telemetry: scalars summed on the device, averaged over steps and ranks when a line is logged."""

import torch
from torch import Tensor

from genera.engine.ranks import Ranks


class Telemetry:
    """Running sums of named scalars since the last call of `averages`."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def record(self, **terms: Tensor) -> None:
        """Add scalars. Does not synchronise with the device."""
        for key, value in terms.items():
            self.sums[key] = self.sums[key] + value.detach() if key in self.sums else value.detach().clone()
            self.counts[key] = self.counts.get(key, 0) + 1

    def averages(self) -> dict[str, float]:
        """Means over ranks and over the records since the last call. Synchronises with the device once."""
        if not self.sums:
            return {}
        means = torch.stack([(total / self.counts[name]).float() for name, total in self.sums.items()])
        values = dict(zip(self.sums, self.ranks.mean(means).tolist(), strict=True))
        self.sums, self.counts = {}, {}
        return values
