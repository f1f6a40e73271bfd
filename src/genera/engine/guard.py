"""The finiteness guard: a loss or gradient that is NaN or infinite stops the run before a weight moves."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from genera.engine.ranks import Ranks
from genera.errors import GeneraError

LISTED = 16
"""Items that an error names; the others are counted."""


@dataclass
class Turn:
    """One optimiser step of a player, as an error describes it."""

    player: str
    step: int
    """1-based, over all stages."""
    terms: dict[str, Tensor]
    """The terms of the loss on this rank."""
    ids: Tensor
    """(B,) the items of this rank's batch."""


@dataclass
class Flag:
    """Whether a turn met a non-finite value, on its way from the device to the host."""

    value: Tensor
    arrival: torch.cuda.Event | None
    """The event after which `value` is on the host; None where it is there already."""

    @classmethod
    def send(cls, value: Tensor) -> "Flag":
        """On a GPU the copy runs behind the computation."""
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
    """Watches one turn at a time. On a GPU the host learns of a flag one turn late; the optimiser holds still on the
    device meanwhile."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.watched: tuple[Turn, Flag] | None = None

    def anywhere(self, bad: Tensor) -> Tensor:
        """`bad`, a boolean scalar, true on every rank if it is on one."""
        if self.ranks.world > 1:
            bad = bad.float()
            dist.all_reduce(bad, dist.ReduceOp.MAX)
        return bad

    def watch(self, turn: Turn, bad: Tensor) -> None:
        """Check the turn before, whose flag has long arrived, and remember this one."""
        self.check()
        self.watched = turn, Flag.send(bad)

    def check(self) -> None:
        """Raise GeneraError, naming term and items, if the watched turn met a non-finite value."""
        if self.watched is None or self.ranks.device.type == "meta":
            return
        turn, flag = self.watched
        self.watched = None
        if not flag.raised():
            return
        broken = sorted((key for key, value in turn.terms.items() if not torch.isfinite(value)), key="loss".__eq__)
        reports = self.ranks.gather((broken, turn.ids.tolist()))  # all ranks know of it, and each saw its own rows
        guilty = [report for report in reports if report[0]] or reports
        term, rows = guilty[0][0][:1], [row for _, ids in guilty for row in ids]
        what = f"term {term[0]!r} of player {turn.player!r}" if term else f"the gradient of player {turn.player!r}"
        more = f" and {len(rows) - LISTED} more" if len(rows) > LISTED else ""
        raise GeneraError(
            f"{what} is not finite at step {turn.step}, items {', '.join(map(str, rows[:LISTED]))}{more}; "
            "no weight moved. Look at these items, or lower the learning rate."
        )
