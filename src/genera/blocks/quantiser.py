"""Feature quantisation: one moving-average dictionary of features (Zhao et al., ICML 2020).
`genera.blocks.quantisation` inserts dictionaries into a discriminator.

Shapes: B rows, C channels, H × W positions, N = B·H·W features, K codes.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

from genera.blocks.precision import full_precision
from genera.blocks.quantiser_config import QuantiserConfig

SMOOTHING = 1e-5
"""ε of the Laplace smoothing of counts."""
LOOKUP_CELLS = 2**22
"""Distances (features × codes) computed at once: small enough to stay in the CPU cache."""
CANDIDATES_PER_ROW = 16
"""Features per row that are candidates for initial and revived codes."""
CANDIDATES = 2**15
"""Candidates kept of each kind of rows between two updates: about as many, the newest."""

ALL = slice(None)


class FeatureQuantiser(nn.Module):
    """One dictionary e_1 … e_K of C-vectors, shared by all positions, classes, real and fake rows.

    `forward` looks up features and, in training, stages their counts and sums. `commit` then updates the dictionary
    once, so the result does not depend on ranks or accumulated parts. There are no learnable parameters. `config.after`
    and `config.codes` are ignored. The dictionary is float32, or float64 after `.double()`; other casts leave it as is.

    generator: draws the first codes, on the CPU. Without one, they depend on the state of torch's global generator,
    which does not change.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    updates: Tensor
    ready: Tensor
    staged: Tensor
    seen: Tensor

    def __init__(
        self, channels: int, codes: int, config: QuantiserConfig | None = None, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or QuantiserConfig()
        self.channels, self.size = channels, codes
        self.commitment: Tensor | None = None
        """(B,) α · mean over C, H, W of (h - sg(e))², of the last forward pass"""
        self.indices: Tensor | None = None
        """(B, H, W) the code of each feature of the last forward pass"""
        self.learns_from: dict[str, slice] = {"all": ALL}
        """kind → rows of the input that update the dictionary; all ranks and parts have equally many of each kind"""
        self._candidates: dict[str, list[Tensor]] = {}
        self._staged = False

        generator = own_generator() if generator is None else generator
        first = torch.randn(codes, channels, generator=generator, device="cpu")
        if config.init == "variance_scaling":
            std = channels**-0.5
            nn.init.trunc_normal_(first, std=std, a=-2 * std, b=2 * std, generator=generator)
        first = first.to(torch.get_default_device())
        self.register_buffer("codes", first)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, channels))
        self.register_buffer("updates", torch.zeros(()))
        # 0 until a dictionary that is initialised from data has seen some
        self.register_buffer("ready", torch.tensor(0.0 if config.init == "data" else 1.0))
        # sums (K·C), counts (K), squared error, squared norm: one flat tensor for a single all-reduce
        self.register_buffer("staged", torch.zeros(codes * channels + codes + 2), persistent=False)
        # counts, squared error and squared norm of the last update: telemetry
        self.register_buffer("seen", torch.zeros(codes + 2), persistent=False)
        self._place(torch.ones(codes, dtype=torch.bool), first.clone())

    # forward

    def forward(self, h: Tensor, learn: bool = True) -> Tensor:
        """h: (B, C, H, W) → the same features, or their codes (see QuantiserConfig.mode).

        learn: whether the features update the dictionary in training mode.
        """
        with full_precision(h):
            # A copy, since the next layer may overwrite h, and the backward pass of the commitment needs the features.
            features = h.permute(0, 2, 3, 1).to(self.codes.dtype, memory_format=torch.contiguous_format, copy=True)
            flat = features.detach().flatten(0, 2)
            index = self.look_up(flat)
            code = self.codes.index_select(0, index).view_as(features)
            squares = mse_loss(features, code, reduction="none").sum((1, 2, 3))
            self.commitment = self.config.weight * self.ready * (squares / features[0].numel())
            self.indices = index.view(features.shape[:3])
            if self.training and learn:
                self._stage(features.detach(), self.indices, squares.detach())
        if self.config.mode == "commit":
            return h
        if self.config.warmup or self.config.init == "data":
            code = torch.where((self.updates >= self.config.warmup) & (self.ready > 0), code, features.detach())
        return StraightThrough.apply(h, code.permute(0, 3, 1, 2))

    @torch.no_grad()
    def look_up(self, features: Tensor) -> Tensor:
        """features: (N, C) in the dtype of the codes → (N,) nearest code of each, the first on ties.

        ‖e‖² - 2 f·e, without the ‖f‖² that all codes share, is exact only near the origin: both are centred first.
        """
        centre = self.centre()
        codes = self.codes - centre
        norms = codes.square().sum(1)
        parts = features.split(max(1, LOOKUP_CELLS // self.size))
        return torch.cat([torch.addmm(norms, part - centre, codes.t(), alpha=-2).argmin(1) for part in parts])

    def centre(self) -> Tensor:
        """(C,) the mean of recent features; of the codes before any were seen. Not always of the codes, since unused
        ones can be far from the data."""
        total = self.counts.sum()
        return torch.where(total > 0, self.sums.sum(0) / total.clamp(min=SMOOTHING), self.codes.mean(0))

    # learning

    @torch.no_grad()
    def _stage(self, features: Tensor, index: Tensor, squares: Tensor) -> None:
        """Stage features (B, H, W, C), their indices (B, H, W) and the squared distance of each row from its codes (B,)
        for the next `commit`."""
        sums, counts, rest = self.staged.split([self.size * self.channels, self.size, 2])
        for kind, rows in self.learns_from.items():
            self._staged = True
            vectors, ids = features[rows].reshape(-1, self.channels), index[rows].reshape(-1)
            sums.view(self.size, self.channels).index_add_(0, ids, vectors)
            counts.index_add_(0, ids, torch.ones_like(vectors[:, 0]))
            rest.add_(torch.stack([squares[rows].sum(), torch.linalg.vector_norm(vectors).square()]))
            if self.needs_candidates:  # the same positions of every row, on any rank or part
                positions = self._shuffled(features.shape[1] * features.shape[2])[:CANDIDATES_PER_ROW]
                chosen = features[rows].flatten(1, 2)[:, positions].flatten(0, 1)
                kept = self._candidates.setdefault(kind, [])
                kept.append(chosen)
                while len(kept) > 1 and sum(map(len, kept)) > CANDIDATES:
                    del kept[0]

    @property
    def needs_candidates(self) -> bool:
        return self.config.init == "data" or self.config.revive_below > 0

    def commit(self) -> None:
        """Update the dictionary once from the features staged on all ranks since the last update, if any."""
        commit([self])

    def _move(self, staged: Tensor, candidates: Tensor | None) -> None:
        """n ← λn + (1-λ)c, m ← λm + (1-λ)s, then e_j ← m_j / ñ_j with ñ = (n + ε) / (T + Kε) · T, T = Σ n."""
        sums, counts, _ = staged.split([self.size * self.channels, self.size, 2])
        self.seen.copy_(staged[self.size * self.channels :])
        begun, weight = self.ready > 0, (1 - self.config.decay) * self.ready
        self.counts.lerp_(counts, weight)
        self.sums.lerp_(sums.view_as(self.sums), weight)
        self.updates += self.ready
        n, m = self.averages()
        smoothed = (n + SMOOTHING) / (n.sum() + self.size * SMOOTHING) * n.sum()
        self.codes.copy_(torch.where(begun, m / smoothed[:, None], self.codes))
        if candidates is not None:
            dead = torch.where(begun, n < self.config.revive_below, True)
            shuffled = candidates[self._shuffled(len(candidates))]
            candidate = (dead.cumsum(0) - 1).clamp(min=0) % len(shuffled)  # a different one each, if enough
            self._place(dead, shuffled[candidate])
        self.ready.fill_(1.0)

    def averages(self) -> tuple[Tensor, Tensor]:
        """Average counts n (K,) and sums m (K, C) of features per update."""
        share = self._share(self.updates.clamp(min=1))
        return self.counts / share, self.sums / share

    def _share(self, updates: Tensor) -> Tensor:
        """The sum of weights of an average that starts at zero, after `updates` updates; 1 without debiasing."""
        debias = self.config.ema == "debias"
        return 1 - self.config.decay**updates if debias else torch.ones_like(updates)

    @torch.no_grad()
    def _place(self, which: Tensor, codes: Tensor) -> None:
        """Set the codes marked in `which` (K,) to `codes` (K, C), and their averages to a count of one feature."""
        share = self._share(self.updates)
        # the released code starts from 0
        count = (self.updates > 0).to(share) if self.config.ema == "release" else share
        self.codes.copy_(torch.where(which[:, None], codes, self.codes))
        self.counts.copy_(torch.where(which, count, self.counts))
        self.sums.copy_(torch.where(which[:, None], codes * share, self.sums))

    def _shuffled(self, count: int) -> Tensor:
        """A permutation of 0 .. count - 1, different for each update, the same on every rank and part."""
        key = torch.arange(count, device=self.codes.device) + (2 * self.updates + self.ready).long() * 0x9E3779B1
        for _ in range(2):  # integer hash: mixes high bits into low ones
            key = ((key ^ (key >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
        return key.argsort(stable=True)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Casts of the model to half precision leave the dictionary's averages as they are."""

        def applied(buffer: Tensor) -> Tensor:
            result = function(buffer)
            return buffer.to(result.device) if result.dtype in (torch.bfloat16, torch.float16) else result

        return super()._apply(applied, recurse)

    # telemetry

    def telemetry(self) -> dict[str, Tensor]:
        """For the features of the last update: share of codes in use, perplexity, and ‖h - e‖² relative to ‖h‖²."""
        counts, (error, norm) = self.seen[: self.size], self.seen[self.size :]
        p = counts / counts.sum().clamp(min=1)
        return {
            "usage": (counts > 0).float().mean(),
            "perplexity": (-(p * (p + 1e-10).log()).sum()).exp(),
            "relative_error": error / norm.clamp(min=1e-12),
        }


class StraightThrough(torch.autograd.Function):
    """(h, code) → code, in memory of its own so that the next layer may overwrite it; the gradient is passed to h
    unchanged."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, code: Tensor) -> Tensor:
        return code.to(h.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def own_generator() -> Generator:
    """A generator whose seed is a hash of the state of torch's global generator, which does not change."""
    return torch.Generator().manual_seed(zlib.crc32(torch.get_rng_state().numpy().tobytes()))


@torch.no_grad()
def commit(quantisers: Sequence[FeatureQuantiser]) -> None:
    """Update each dictionary that has staged features, with one all-reduce for the sums of all dictionaries."""
    quantisers = [q for q in quantisers if q._staged]
    if not quantisers:
        return
    candidates = [_gathered([torch.cat(staged) for _, staged in sorted(q._candidates.items())]) for q in quantisers]
    staged = [q.staged for q in quantisers]
    if dist.is_initialized():
        flat = torch.cat(staged)
        dist.all_reduce(flat)
        staged = list(flat.split([len(s) for s in staged]))
    for quantiser, total, some in zip(quantisers, staged, candidates, strict=True):
        quantiser._move(total.to(quantiser.codes.dtype), some)
        quantiser.staged.zero_()
        quantiser._candidates, quantiser._staged = {}, False


def _gathered(kinds: list[Tensor]) -> Tensor | None:
    """The candidates of all ranks (M, C), in the order in which one rank would stage them; None if there are none."""
    if dist.is_initialized():
        for i, local in enumerate(kinds):
            gathered = [torch.empty_like(local) for _ in range(dist.get_world_size())]
            dist.all_gather(gathered, local.contiguous())
            kinds[i] = torch.cat(gathered)
    return torch.cat(kinds) if kinds else None
