"""The finiteness guard: a NaN or infinite loss or gradient stops the run before the weights change."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from genera.engine.ranks import Ranks
from genera.errors import GeneraError

LISTED = 16
"""Number of items that an error lists; the rest are counted."""


@dataclass
class Turn:
    """One optimiser step of a player, for error messages."""

    player: str
    step: int
    """1-based, over all stages."""
    terms: dict[str, Tensor]
    """The terms of the loss on this rank."""
    ids: Tensor
    """(B,) the items of this rank's batch."""


@dataclass
class Flag:
    """Whether a turn produced a non-finite value: a flag in transfer from the device to the host."""

    value: Tensor
    arrival: torch.cuda.Event | None
    """The event after which `value` is on the host; None if it already is."""

    @classmethod
    def send(cls, value: Tensor) -> "Flag":
        """On a GPU the copy is asynchronous."""
        if not value.is_cuda:
            return cls(value, None)
        host = torch.empty((), dtype=value.dtype, pin_memory=True)
        host.copy_(value, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return cls(host, arrival)

    def raised(self) -> bool:
        if self.arrival is not None:
            self.arrival.synchronize()
        return bool(self.value.item())


class Guard:
    """Watches one turn at a time. On a GPU the host reads a flag one turn late; until then the optimiser skips steps on
    the device."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.watched: tuple[Turn, Flag] | None = None

    def anywhere(self, bad: Tensor) -> Tensor:
        """`bad`, a boolean scalar, reduced to be true on all ranks if it is true on any."""
        if self.ranks.world > 1:
            bad = bad.float()
            dist.all_reduce(bad, dist.ReduceOp.MAX)
        return bad

    def watch(self, turn: Turn, bad: Tensor) -> None:
        """Check the previous turn, whose flag has arrived, and watch this one."""
        self.check()
        self.watched = turn, Flag.send(bad)

    def check(self) -> None:
        """Raise GeneraError that names the loss term and items if the watched turn produced a non-finite value."""
        if self.watched is None or self.ranks.device.type == "meta":
            return
        turn, flag = self.watched
        self.watched = None
        if not flag.raised():
            return
        broken = sorted((key for key, value in turn.terms.items() if not torch.isfinite(value)), key="loss".__eq__)
        reports = self.ranks.gather((broken, turn.ids.tolist()))  # all ranks get here; each knows only its rows
        guilty = [report for report in reports if report[0]] or reports
        term, rows = guilty[0][0][:1], [row for _, ids in guilty for row in ids]
        what = f"term {term[0]!r} of player {turn.player!r}" if term else f"the gradient of player {turn.player!r}"
        more = f" and {len(rows) - LISTED} more" if len(rows) > LISTED else ""
        raise GeneraError(
            f"{what} is not finite at step {turn.step}, items {', '.join(map(str, rows[:LISTED]))}{more}; "
            "the weights are unchanged. Inspect these items, or lower the learning rate."
        )
