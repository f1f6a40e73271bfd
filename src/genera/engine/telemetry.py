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
        self.clear()
        return values

    def clear(self) -> None:
        """Drop the sums."""
        self.sums, self.counts = {}, {}

    # what checkpoints save and restore

    def state(self) -> dict[str, Tensor]:
        """This rank's sums, on the host; `counts` has their order. Synchronises with the device."""
        return {name: total.cpu() for name, total in self.sums.items()}

    def restore(self, sums: list[dict[str, Tensor]], counts: dict[str, int]) -> None:
        """sums: the `state` of each data rank that saved. On another number of them each gets their mean, which gives
        the same averages."""
        rank, world, device = self.ranks.data_rank, self.ranks.data_world, self.ranks.device
        if len(sums) == world:
            of_rank = sums[rank]
        else:
            of_rank = {name: torch.stack([part[name] for part in sums]).float().mean(0) for name in counts}
        self.sums, self.counts = {name: of_rank[name].to(device) for name in counts}, dict(counts)
