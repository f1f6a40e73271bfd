"""What a layer that P ranks compute together (tensor parallelism) needs besides its own matrices.

A *part* is one of these ranks: part p of P has some attention heads, some of the feed-forward width, some tokens of the
vocabulary. All parts see the same rows of a batch. No DTensor here: its import takes a second.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Split(NamedTuple):
    """The part of each layer that this rank computes."""

    part: int
    parts: int
    group: dist.ProcessGroup

    def attend(self, *inputs: Any, **options: Any) -> Tensor:
        """`scaled_dot_product_attention` of this part's heads, with dropout of its own."""
        return _attend_apart(self.part, *inputs, **options)

    def share(self, x: Tensor, axis: int) -> Tensor:
        """This part's share along `axis` of what all parts hold. Its gradient reaches all of them."""
        return shared(x, self.group).chunk(self.parts, axis)[self.part]


@torch.compiler.disable
def _attend_apart(part: int, q: Tensor, *inputs: Any, **options: Any) -> Tensor:
    # The generators of all parts are in the same state, and stay so: elsewhere the parts draw the same.
    seed = int(torch.randint(2**62, ()))
    devices = [] if q.device.type == "cpu" else [q.device]
    with torch.random.fork_rng(devices, device_type=q.device.type if devices else "cuda"):
        torch.manual_seed(seed + part)
        return F.scaled_dot_product_attention(q, *inputs, **options)


def local(parameter: Tensor) -> Tensor:
    """A parameter that is the same on all parts, as a plain tensor."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


def shared(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """x, which all parts hold and each uses in another way: its gradient is the sum of theirs (Megatron-LM's f)."""
    copied: Tensor = _Shared.apply(x, group)
    return copied


class _Shared(torch.autograd.Function):
    """Identity; the gradient is summed over the parts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


@dataclass(frozen=True)
class Vocabulary:
    """The rows of an output matrix for the tokens `first`, `first + 1`, … that this part has."""

    rows: Tensor
    """(n, H)"""
    first: int
    share: int
    """n of the parts that have most"""
    group: dist.ProcessGroup

    def __len__(self) -> int:
        """Tokens a part, the same on all."""
        return self.share


def vocabulary(matrix: Tensor, split: Split, size: int) -> Vocabulary:
    """This part's rows of an output matrix of `size` tokens, without those that fill it up to equal parts."""
    rows = local(matrix)
    first = split.part * len(rows)
    return Vocabulary(rows[: max(0, size - first)], first, len(rows), split.group)


def cross_entropy(states: Tensor, own: Vocabulary, targets: Tensor, ignore: int) -> Tensor:
    """-log softmax(W · states)[targets] of a matrix W over all parts: states (N, H), targets (N,) int64 → (N,) float32.

    Logits are never gathered: the parts exchange three numbers a row, its largest logit, Σ exp and the target's logit
    (Shoeybi et al. 2019). 0 where a target is `ignore`.
    """
    logits = F.linear(shared(states, own.group), own.rows).float()
    losses: Tensor = _CrossEntropy.apply(logits, targets - own.first, own.group)
    return losses.masked_fill(targets == ignore, 0.0)


class _CrossEntropy(torch.autograd.Function):
    """(N, n) float32 logits of this part, (N,) targets relative to its first → (N,) losses, the same on all parts."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, group: dist.ProcessGroup) -> Tensor:
        """targets: relative to the first of this part; it has those in [0, n)."""
        inside = (targets >= 0) & (targets < logits.shape[1])
        picked = targets.clamp(0, max(0, logits.shape[1] - 1))[:, None]
        largest = logits.amax(1) if logits.shape[1] else logits.new_full(targets.shape, -torch.inf)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
        shifted = logits - largest[:, None]
        target = shifted.gather(1, picked)[:, 0] * inside if logits.shape[1] else torch.zeros_like(largest)
        exponentials = shifted.exp_()
        sums = torch.stack((exponentials.sum(1), target))
        dist.all_reduce(sums, group=group)
        ctx.save_for_backward(exponentials.div_(sums[0, :, None]), picked, inside)
        return sums[0].log() - sums[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        probabilities, picked, inside = ctx.saved_tensors
        if probabilities.shape[1]:
            probabilities.scatter_add_(1, picked, -inside[:, None].to(probabilities.dtype))
        return probabilities * gradient[:, None], None, None
