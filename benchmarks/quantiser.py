"""The quantiser's forward, backward and update against vector-quantize-pytorch and against the release's one-hot form.

    python -m benchmarks.quantiser

Same features, same first codes, the same codes after the step. All run in turn, round by round, in CPU time (other
processes then count less); the ratio is the median. Targets: 5 against vector-quantize-pytorch, 3 against one-hot.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch import VectorQuantize

from genera.blocks.quantiser import FeatureQuantiser
from genera.blocks.quantiser_config import QuantiserConfig

ROUNDS, DECAY = 15, 0.8

CASES = [  # rows, C, side, K: D's blocks at CIFAR's sizes, 64 fakes and 64 reals
    (128, 256, 8, 1024),
    (128, 256, 8, 64),
    (128, 256, 16, 1024),
    (128, 32, 8, 64),
]


class OneHot(nn.Module):
    """As the release computes it: all distances, one-hot rows, two products with them."""

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.codes, self.counts, self.sums = codes.t().clone(), torch.ones(len(codes)), codes.t().clone()

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        features = h.permute(0, 2, 3, 1)
        flat = features.reshape(-1, h.shape[1])
        distances = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ self.codes + self.codes.pow(2).sum(0, keepdim=True)
        index = (-distances).max(1)[1]
        one_hot = F.one_hot(index, len(self.counts)).type(flat.dtype)
        code = F.embedding(index.view(features.shape[:3]), self.codes.t())
        with torch.no_grad():
            self.counts.mul_(DECAY).add_(one_hot.sum(0), alpha=1 - DECAY)
            self.sums.mul_(DECAY).add_(flat.t() @ one_hot, alpha=1 - DECAY)
            total = self.counts.sum()
            smoothed = (self.counts + 1e-5) / (total + len(self.counts) * 1e-5) * total
            self.codes = self.sums / smoothed
        loss = (code.detach() - features).pow(2).mean()
        return (features + (code - features).detach()).permute(0, 3, 1, 2), loss


def sides(codes: Tensor) -> dict[str, tuple[Callable[[Tensor], tuple[Tensor, Tensor]], Callable[[], Tensor]]]:
    """name → (h → (quantised, commitment loss) with the update done by the end of the step, codes (K, C) after it)."""
    count, channels = codes.shape
    peer = VectorQuantize(
        channels, count, decay=DECAY, commitment_weight=1.0, threshold_ema_dead_code=0, accept_image_fmap=True,
        rotation_trick=False,
    )  # fmt: skip
    peer._codebook.embed.data.copy_(codes[None])
    peer._codebook.embed_avg.copy_(codes[None])

    ours = FeatureQuantiser(channels, count, QuantiserConfig(decay=DECAY, weight=1.0, mode="quantize", ema="ones"))
    ours.codes.copy_(codes)
    ours.sums.copy_(codes)
    release = OneHot(codes)

    def run_peer(h: Tensor) -> tuple[Tensor, Tensor]:
        out, _, loss = peer(h)
        return out, loss.sum()

    def run_ours(h: Tensor) -> tuple[Tensor, Tensor]:
        out = ours(h)
        ours.commit()
        return out, ours.commitment.mean()

    return {
        "vector-quantize": (run_peer, lambda: peer._codebook.embed[0]),
        "one-hot": (release, lambda: release.codes.t()),
        "genera": (run_ours, lambda: ours.codes),
    }


def step(side: Callable[[Tensor], tuple[Tensor, Tensor]], h: Tensor, upstream: Tensor) -> float:
    """CPU seconds of forward, backward to the features, and update."""
    h = h.detach().requires_grad_()
    before = time.process_time()
    out, loss = side(h)
    torch.autograd.backward([out, loss], [upstream, torch.ones(())])
    return time.process_time() - before


def main() -> None:
    torch.set_num_threads(1)
    print(f"forward, backward, update; one thread, {ROUNDS} rounds")
    print(f"{'features':<20}{'K':>6}{'vq-pytorch ms':>15}{'one-hot ms':>12}{'genera ms':>11}{'ratios':>13}")
    for rows, channels, side, codes in CASES:
        torch.manual_seed(0)
        h, upstream = torch.randn(2, rows, channels, side, side)
        all_three = sides(torch.randn(codes, channels))
        for run, _ in all_three.values():
            step(run, h, upstream)
        mine = all_three["genera"][1]()
        for _, learned in all_three.values():
            torch.testing.assert_close(learned(), mine, rtol=1e-3, atol=1e-3)
        times = [[step(run, h, upstream) for run, _ in all_three.values()] for _ in range(ROUNDS)]
        peer, release, own = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        ratios = [statistics.median(row[i] / row[2] for row in times) for i in (0, 1)]
        shape = f"{rows} x {channels} x {side} x {side}"
        both = f"{ratios[0]:>7.1f}{ratios[1]:>6.1f}"
        print(f"{shape:<20}{codes:>6}{peer:>15.1f}{release:>12.1f}{own:>11.1f}{both}", flush=True)


if __name__ == "__main__":
    main()
