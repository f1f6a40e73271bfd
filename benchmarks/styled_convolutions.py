"""Modulated convolutions and upfirdn2d of StyleGAN2 against the grouped-convolution form.

    python -m benchmarks.styled_convolutions

Grouped: a weight for each sample, and all samples as groups of one convolution (Karras et al. 2020, appendix B).
Filters: zeros inserted, padded, convolved by group, decimated, each in an operation of its own. Same outputs; forward
and backward, CPU time in turn, round by round, on one thread; the ratio is the median.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genera.blocks.equalised import ModulatedConv2d
from genera.blocks.fir import filter2d, upfirdn2d

ROUNDS = 9


def grouped_convolution(block: ModulatedConv2d, x: Tensor, style: Tensor) -> Tensor:
    rows, channels, height, width = x.shape
    weight = block.weight * block.scale * style[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, rows * channels, height, width)
    if not block.up:
        out = F.conv2d(x, weight.flatten(0, 1), padding=block.size // 2, groups=rows)
        return out.view(rows, -1, height, width)
    out = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=rows)
    return grouped_filter(out.view(rows, -1, *out.shape[2:]), block.kernel * 4, 1, 1, (1, 1))


def grouped_filter(x: Tensor, kernel: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    rows, channels, height, width = x.shape
    if up > 1:
        x = F.pad(x.view(rows, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
        x = x.view(rows, channels, height * up, width * up)
    x = F.pad(x, padding * 2)
    x = F.conv2d(x, kernel.flip(0, 1).expand(channels, 1, *kernel.shape), groups=channels)
    return x[:, :, ::down, ::down]


def seconds(side: Callable[..., Tensor], inputs: list[Tensor]) -> float:
    inputs = [x.detach().requires_grad_() for x in inputs]
    before = time.process_time()
    side(*inputs).sum().backward()
    return time.process_time() - before


def cases() -> dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]]:
    """name → (grouped, ours, inputs)"""
    found = {}
    for rows, channels, side, up in ((16, 64, 32, False), (16, 64, 16, True), (8, 256, 16, False), (4, 512, 8, False)):
        block = ModulatedConv2d(channels, channels, 3, up=up)
        inputs = [torch.randn(rows, channels, side, side), torch.rand(rows, channels) + 0.5]
        name = f"modulated{' up' * up}, {rows} x {channels} x {side} x {side}"
        found[name] = (lambda x, s, b=block: grouped_convolution(b, x, s), block, inputs)
    kernel = filter2d()
    for name, up, down, padding in (("up", 2, 1, (2, 1)), ("down", 1, 2, (1, 1)), ("blur", 1, 1, (2, 1))):
        settings = {"up": up, "down": down, "padding": padding}
        found[f"filter {name}, 16 x 64 x 32 x 32"] = (
            lambda x, s=settings: grouped_filter(x, kernel, **s),
            lambda x, s=settings: upfirdn2d(x, kernel, **s),
            [torch.randn(16, 64, 32, 32)],
        )
    return found


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"forward, backward; one thread, {ROUNDS} rounds")
    print(f"{'operation':<34}{'grouped ms':>12}{'genera ms':>11}{'ratio':>7}")
    for name, (grouped, ours, inputs) in cases().items():
        torch.testing.assert_close(ours(*inputs), grouped(*inputs), rtol=1e-4, atol=1e-4)
        seconds(grouped, inputs), seconds(ours, inputs)
        times = [[seconds(side, inputs) for side in (grouped, ours)] for _ in range(ROUNDS)]
        peer, own = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:<34}{peer:>12.1f}{own:>11.1f}{statistics.median(a / b for a, b in times):>7.2f}", flush=True)


if __name__ == "__main__":
    main()
