"""A D+G step of BigGAN-32 in the engine against a plain PyTorch write-up, and what feature quantisation adds to it.

    python -m benchmarks.gan_step

The same networks (equal parameter counts), losses, Adam and average of G's weights; the engine also checks for
non-finite values and gathers telemetry. CPU time in turn, round by round, on one thread; ratios are medians. What
dictionaries cost is the time with them against the time without.
"""

import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

import genera
from genera.data.images.dataset import ImageAssets, ImageBatch
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.methods.biggan.method import BigGan

ROUNDS, ROWS, WIDTH, CLASSES, LATENT = 3, 8, 64, 10, 128


def conv(inputs: int, outputs: int, size: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, size, padding=size // 2))


class ConditionalBatchNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Embedding(CLASSES, channels), nn.Embedding(CLASSES, channels)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(x) * (1 + self.gain(y))[:, :, None, None] + self.bias(y)[:, :, None, None]


class GBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalBatchNorm(channels), ConditionalBatchNorm(channels)
        self.conv1, self.conv2 = conv(channels, channels, 3), conv(channels, channels, 3)
        self.shortcut = conv(channels, channels, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.interpolate(F.relu(self.norm1(x, y)), scale_factor=2)
        h = self.conv2(F.relu(self.norm2(self.conv1(h), y)))
        return h + self.shortcut(F.interpolate(x, scale_factor=2))


class PlainGenerator(nn.Module):
    def __init__(self, channels: int = 4 * WIDTH) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Linear(LATENT, channels * 16))
        self.blocks = nn.ModuleList(GBlock(channels) for _ in range(3))
        self.norm, self.last = nn.BatchNorm2d(channels), conv(channels, 3, 3)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.first(z).view(len(z), -1, 4, 4)
        for block in self.blocks:
            x = block(x, y)
        return torch.tanh(self.last(F.relu(self.norm(x))))


class DBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, first: bool, pool: bool) -> None:
        super().__init__()
        self.first, self.pool = first, pool
        self.conv1, self.conv2 = conv(inputs, outputs, 3), conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1) if inputs != outputs or pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.first:
            return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))
        return F.avg_pool2d(h, 2) + F.avg_pool2d(self.shortcut(x), 2) if self.pool else h + self.shortcut(x)


class PlainDiscriminator(nn.Module):
    def __init__(self, channels: int = 4 * WIDTH) -> None:
        super().__init__()
        blocks = [DBlock(3 if i == 0 else channels, channels, i == 0, i < 2) for i in range(4)]
        self.blocks = nn.Sequential(*blocks)
        self.linear = spectral_norm(nn.Linear(channels, 1))
        self.embedding = spectral_norm(nn.Embedding(CLASSES, channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        phi = F.relu(self.blocks(x)).sum((2, 3))
        return self.linear(phi).squeeze(1) + (self.embedding(y) * phi).sum(1)


class Plain:
    """The step as a tutorial would write it."""

    def __init__(self) -> None:
        self.g, self.d, self.average = PlainGenerator(), PlainDiscriminator(), PlainGenerator()
        self.average.load_state_dict(self.g.state_dict())
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.0, 0.999)) for network in (self.g, self.d)
        )

    def step(self, images: Tensor, labels: Tensor) -> None:
        rows = len(images)
        y = torch.randint(CLASSES, (rows,))
        with torch.no_grad():
            fake = self.g(torch.randn(rows, LATENT), y)
        on_fake, on_real = self.d(torch.cat([fake, images]), torch.cat([y, labels])).split(rows)
        loss = F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()
        self.adam_d.zero_grad()
        loss.backward()
        self.adam_d.step()

        self.d.requires_grad_(False)
        y = torch.randint(CLASSES, (rows,))
        loss = -self.d(self.g(torch.randn(rows, LATENT), y), y).mean()
        self.adam_g.zero_grad()
        loss.backward()
        self.adam_g.step()
        self.d.requires_grad_(True)
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.g.parameters(), strict=True):
                mean.lerp_(value, 1e-4)


class Ours:
    """The same step of the method, as the engine runs it."""

    def __init__(self, preset: str) -> None:
        config = genera.configure(preset, d_steps=1, width=WIDTH, latent_size=LATENT, ema_start=0, steps=10)
        alone = Ranks(0, 1, torch.device("cpu"))
        names = tuple(map(str, range(CLASSES)))
        self.method = BigGan(config.model, ImageAssets(32, 3, names))
        self.method.initialise()
        self.method.lay_out()
        self.run = Step(config.train, alone, enrol(self.method.players(), config.train, alone))
        self.steps = 0

    def step(self, images: Tensor, labels: Tensor) -> None:
        self.run.begin(self.steps, 0.0)
        self.method.update(ImageBatch(ids=torch.arange(len(images)), images=images, labels=labels), self.run)
        self.run.end()
        self.steps += 1

    def turn_of_d(self, images: Tensor, labels: Tensor) -> float:
        """CPU seconds of the discriminator's turn alone."""
        rows = ImageBatch(ids=torch.arange(len(images)), images=images, labels=labels)
        before = time.process_time()
        self.run.minimise("discriminator", self.method.discriminator_loss, rows)
        return time.process_time() - before


def seconds(side: Plain | Ours, images: Tensor, labels: Tensor) -> float:
    before = time.process_time()
    side.step(images, labels)
    return time.process_time() - before


def parameters(*networks: nn.Module) -> list[int]:
    return [sum(p.numel() for p in network.parameters()) for network in networks]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain, ours = Plain(), Ours("biggan:cifar10")
    assert parameters(plain.g, plain.d) == parameters(ours.method.generator, ours.method.discriminator)
    sides = {"plain PyTorch": plain, "genera": ours, "genera, 4 x 1024 codes": Ours("biggan:cifar10-fq")}
    sides["genera, 4 x 64 codes"] = few = Ours("biggan:cifar100-fq")
    assert len(few.method.quantisation.layers) == 4
    images, labels = torch.rand(ROWS, 3, 32, 32) * 2 - 1, torch.randint(CLASSES, (ROWS,))
    for side in sides.values():
        seconds(side, images, labels)
    times = [[seconds(side, images, labels) for side in sides.values()] for _ in range(ROUNDS)]
    print(f"BigGAN-32, width {WIDTH}, batch {ROWS}, one thread, {ROUNDS} rounds")
    for i, name in enumerate(sides):
        own = statistics.median(row[i] for row in times)
        against_plain = statistics.median(row[0] / row[i] for row in times)
        added = statistics.median(row[i] / row[1] - 1 for row in times)
        extra = f", dictionaries add {100 * added:.1f} %" if i > 1 else ""
        print(f"{name:<24}{own:>7.2f} s a step, {against_plain:.2f} x as fast as plain{extra}", flush=True)
    _, plain_d, *quantised = sides.values()
    turns = [[side.turn_of_d(images, labels) for side in (plain_d, *quantised)] for _ in range(ROUNDS)]
    for i, name in enumerate(list(sides)[2:], start=1):
        share = statistics.median(1 - row[0] / row[i] for row in turns)
        print(f"{name:<24}dictionaries take {100 * share:.1f} % of a turn of D")


if __name__ == "__main__":
    main()
