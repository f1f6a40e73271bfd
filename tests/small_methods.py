"""Small methods that prove the engine's contract (several players, several stages, every kind of state, on points of a
ring), and that the uses of a latent serve images as they serve text."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize, softplus

from genera.blocks.schedules import schedule
from genera.data.batch import Batch
from genera.data.cache import build_once, cache_folder
from genera.data.images.config import ImageConfig
from genera.data.images.dataset import ImageAssets, ImageBatch, ImageData
from genera.engine.capabilities import Posterior, Score
from genera.engine.config import MethodConfig, RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.import_weights import adopt
from genera.engine.method import Method, Stage
from genera.engine.optimisers import can_fuse
from genera.engine.player import Player
from genera.engine.ranks import Ranks
from genera.engine.registry import Entry, Preset, configure, preset, register
from genera.engine.train import train
from genera.files import write_tensors

LINEAR = schedule("linear")


@dataclass
class Points(Batch):
    x: Tensor


@dataclass(frozen=True, kw_only=True)
class RingConfig:
    items: int = 256
    broken_item: int | None = None
    """This point is NaN."""

    def check(self) -> list[str]:
        return []


class RingStream:
    def __init__(self, points: Tensor, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        self.points, self.size, self.seed, self.rank, self.ranks = points, batch_size, seed, rank, ranks
        self.steps_per_epoch = len(points) // batch_size

    def batch(self, step: int) -> Points:
        epoch, index = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.points))
        rows = order[index * self.size : (index + 1) * self.size]
        own = len(rows) // self.ranks
        rows = torch.from_numpy(rows[self.rank * own : (self.rank + 1) * own])
        return Points(ids=rows, x=self.points[rows])


class RingAssets:
    def __init__(self, radius: float) -> None:
        self.radius = radius

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"radius": torch.tensor(self.radius)}, folder / "ring.safetensors")

    @classmethod
    def load(cls, folder: Path) -> "RingAssets":
        return cls(load_file(folder / "ring.safetensors")["radius"].item())


class Ring:
    assets_type = RingAssets

    def __init__(self, config: RingConfig, assets: RingAssets) -> None:
        self.assets = assets
        angle = torch.rand(config.items, generator=torch.Generator().manual_seed(0)) * 2 * torch.pi
        points = assets.radius * torch.stack([angle.cos(), angle.sin()], 1)
        if config.broken_item is not None:
            points[config.broken_item] = torch.nan
        self.splits = {"train": points, "valid": points[:64]}

    @classmethod
    def open(cls, config: RingConfig, assets: RingAssets | None = None) -> "Ring":
        return cls(config, assets or RingAssets(2.0))

    def size(self, split: str) -> int:
        return len(self.splits[split])

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> RingStream:
        return RingStream(self.splits[split], batch_size, seed, rank, ranks)

    @classmethod
    def sketch(cls, config: RingConfig, batch_size: int) -> tuple[RingAssets, Points]:
        return RingAssets(2.0), Points(ids=torch.arange(batch_size), x=torch.ones(batch_size, 2))


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))


@dataclass(frozen=True, kw_only=True)
class SmallConfig(MethodConfig):
    lr: float = 1e-2


class SmallGan(Method):
    """Two players that alternate; the second's loss runs through the first's network."""

    dataset = Ring

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.generator, self.discriminator = mlp(4, 2), mlp(2, 1)

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.discriminator, self._adam(self.discriminator), LINEAR, averaged=False),
            "generator": Player(self.generator, self._adam(self.generator), LINEAR),
        }

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=self.config.lr, fused=can_fuse(network))

    def update(self, batch, step) -> None:
        step.minimise("discriminator", self.discriminator_loss, batch)
        step.minimise("generator", self.generator_loss, batch)

    def discriminator_loss(self, batch, step):
        with torch.no_grad():
            fake = self.generator(step.normal(len(batch), 4))
        real_score, fake_score = self.discriminator(batch.x), self.discriminator(fake)
        loss = softplus(-real_score).mean() + softplus(fake_score).mean()
        return {"loss": loss, "real": real_score.mean()}

    def generator_loss(self, batch, step):
        return {"loss": -self.discriminator(self.generator(step.normal(len(batch), 4))).mean()}


class SmallTwoStage(Method):
    """An autoencoder, then a Gaussian fitted by gradient to the latents it left; plain SGD on the way."""

    dataset = Ring

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.autoencoder = nn.ModuleDict({"encoder": mlp(2, 1), "decoder": mlp(1, 2)})
        self.prior = self.new_prior()
        self.latents: Tensor | None = None

    def new_prior(self) -> nn.ParameterDict:
        return nn.ParameterDict({"mean": torch.zeros(1), "log_sd": torch.zeros(1)})

    def stages(self) -> list[Stage]:
        return [
            Stage("autoencoder", self.first_players, self.first_update, 0.5, self.write_latents, self.read_latents),
            Stage("prior", self.second_players, self.second_update, 0.5),
        ]

    def first_players(self) -> dict[str, Player]:
        optimiser = torch.optim.AdamW(self.autoencoder.parameters(), lr=self.config.lr)  # not fused: host-side guard
        return {"autoencoder": Player(self.autoencoder, optimiser, LINEAR)}

    def first_update(self, batch, step) -> None:
        step.minimise("autoencoder", self.reconstruction, batch)

    def reconstruction(self, batch, step):
        z = self.autoencoder["encoder"](batch.x) + 0.1 * step.normal(len(batch), 1)
        return {"loss": (self.autoencoder["decoder"](z) - batch.x).square().mean()}

    def write_latents(self, data: Ring, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            save_file({"z": self.autoencoder["encoder"](data.splits["train"])}, folder / "latents.safetensors")

    def read_latents(self, folder: Path) -> None:
        self.latents = load_file(folder / "latents.safetensors")["z"]

    def second_players(self) -> dict[str, Player]:
        optimiser = torch.optim.SGD(self.prior.parameters(), lr=self.config.lr, momentum=0.9)
        return {"prior": Player(self.prior, optimiser, LINEAR)}

    def second_update(self, batch, step) -> None:
        step.minimise("prior", self.prior_loss, batch)

    def prior_loss(self, batch, step):
        z = self.latents[batch.ids]
        log_sd = self.prior["log_sd"]
        return {"loss": (log_sd + 0.5 * ((z - self.prior["mean"]) / log_sd.exp()).square()).mean()}

    def validate(self, batch, step):
        return {"loss": (self.autoencoder["decoder"](self.autoencoder["encoder"](batch.x)) - batch.x).square().mean()}


class SmallPipeline(SmallTwoStage):
    """An autoencoder; then points of a smaller ring, written shard by shard by whichever rank's turn it is; then the
    autoencoder again on those, with a batch and a validation of their own."""

    SHARDS = 4

    def new_prior(self) -> nn.ParameterDict:
        return nn.ParameterDict()

    def stages(self) -> list[Stage]:
        return [
            Stage("autoencoder", self.first_players, self.first_update),
            Stage("synthesis", work=self.synthesise),
            Stage(
                "again",
                self.first_players,
                self.first_update,
                data=self.smaller_ring,
                batch_size=8,
                validate=self.validate_again,
                sketch=lambda rows: Points(ids=torch.arange(rows), x=torch.ones(rows, 2)),
            ),
        ]

    def synthesise(self, data: Ring, folder: Path, ranks: Ranks) -> Iterator[None]:
        folder.mkdir(parents=True, exist_ok=True)
        for shard, points in enumerate(data.splits["train"].chunk(self.SHARDS)):
            if shard % ranks.world == ranks.rank and not (folder / f"{shard}.safetensors").exists():
                write_tensors(folder / f"{shard}.safetensors", {"x": points / 2})
                yield

    def smaller_ring(self, data: Ring, artefacts: Path) -> Ring:
        shards = [load_file(artefacts / "synthesis" / f"{shard}.safetensors")["x"] for shard in range(self.SHARDS)]
        smaller = Ring(RingConfig(), data.assets)
        smaller.splits = {"train": torch.cat(shards), "valid": shards[0]}
        return smaller

    def validate_again(self, batch, step):
        return {"loss": batch.x.norm(dim=1).mean()}  # of the data alone


@dataclass(frozen=True, kw_only=True)
class ImageVaeConfig(MethodConfig):
    lr: float = 3e-3
    latent_size: int = 4
    width: int = 32


HALF_BIN = 1 / 255
"""Of an 8-bit pixel value, where they reach from -1 to 1."""


class SmallImageVae(Method):
    """A VAE of images whose p(x|z) is a logistic distribution over 256 pixel values. B images, P latent dimensions."""

    dataset = ImageData

    def __init__(self, config: ImageVaeConfig, assets: ImageAssets) -> None:
        super().__init__(config, assets)
        shape, self.latent_size = (assets.channels, assets.size, assets.size), config.latent_size
        self.network = nn.ModuleDict(
            {
                "encoder": nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), config.width), nn.Tanh()),
                "posterior": nn.Linear(config.width, 2 * config.latent_size),
                "decoder": nn.Sequential(
                    nn.Linear(config.latent_size, config.width),
                    nn.Tanh(),
                    nn.Linear(config.width, math.prod(shape)),
                    nn.Unflatten(1, shape),
                ),
                "scale": nn.ParameterDict({"log": torch.full((), -1.0)}),
            }
        )

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self.config.lr, fused=can_fuse(self.network))
        return {"vae": Player(self.network, optimiser, LINEAR)}

    def update(self, batch: ImageBatch, step) -> None:
        step.minimise("vae", self.loss, batch)

    def loss(self, batch: ImageBatch, step):
        mean, log_variance = self.posterior(batch.images)
        z = mean + (0.5 * log_variance).exp() * step.normal(len(batch), self.latent_size)
        reconstruction, kl = -self.log_likelihood(batch.images, z).mean(), divergence(mean, log_variance).mean()
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    validate = loss

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.network["posterior"](self.network["encoder"](images)).chunk(2, 1)
        return mean, log_variance

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, (B,); the outermost values have the tails."""
        apart, scale = images - self.network["decoder"](z), self.network["scale"]["log"].exp()
        above, below = logsigmoid((apart + HALF_BIN) / scale), logsigmoid((HALF_BIN - apart) / scale)
        high, low = images > 1 - HALF_BIN, images < HALF_BIN - 1
        inside = (-torch.expm1(-2 * HALF_BIN / scale)).log()  # sigmoid(a) - sigmoid(b) is the product of the three
        return (torch.where(high, 0, above) + torch.where(low, 0, below) + torch.where(high | low, 0, inside)).sum(
            (1, 2, 3)
        )

    # -- capabilities ---------------------------------------------------------------------------------------------

    def features(self, items: Sequence[Tensor]) -> Tensor:
        return self.network["encoder"](self.stacked(items))

    def encode(self, items: Sequence[Tensor]) -> Posterior:
        return Posterior(*self.posterior(self.stacked(items)))

    @torch.no_grad()
    def decode(self, z: Tensor, *, generator=None) -> list[Tensor]:
        return list(self.network["decoder"](z).clamp(-1, 1))

    def sample(self, count: int, *, generator=None) -> list[Tensor]:
        device = next(self.parameters()).device
        return self.decode(torch.randn(count, self.latent_size, generator=generator, device=device))

    def score_given(self, items: Sequence[Tensor], z: Tensor) -> Tensor:
        return self.log_likelihood(self.stacked(items), z).double()

    @torch.no_grad()
    def score(self, items: Sequence[Tensor], samples: int, *, generator=None) -> Score:
        images = self.stacked(items)
        mean, log_variance = self.posterior(images)
        noise = torch.randn(samples, *mean.shape, generator=generator, device=mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        log_likelihood = torch.stack([self.log_likelihood(images, each).double() for each in z])
        log_ratio = 0.5 * (noise.square() + log_variance - z.square()).double().sum(2)  # log p(z) - log q(z|x)
        return Score(log_likelihood + log_ratio, log_likelihood, divergence(mean, log_variance))

    def stacked(self, items: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(items)).to(next(self.parameters()).device)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) in nats, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


@dataclass
class Chains(Points):
    negatives: Tensor


class SmallEnergy(Method):
    """An energy model: Langevin chains start in a replay buffer, and the learning rate halves when validation does not
    improve. Both are training state."""

    dataset = Ring
    validation_gradients = True

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.energy = mlp(2, 1)
        self.register_training_state("replay", torch.randn(64, 2))
        self.register_training_state("rate", 1.0)

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.energy.parameters(), lr=self.config.lr, eps=1e-4)
        return {"energy": Player(self.energy, optimiser, lambda step, progress: self.rate)}

    def update(self, batch, step) -> None:
        rows, whole = len(batch), len(batch) * step.ranks.world
        chains = (step.index * whole + torch.arange(whole, device=batch.x.device)) % len(self.replay)
        starts = self.replay[chains[step.ranks.rank * rows :][:rows]]
        negatives = self.langevin(starts, step)
        step.minimise("energy", self.contrast, Chains(ids=batch.ids, x=batch.x, negatives=negatives))
        self.replay[chains] = step.gather(negatives)

    def langevin(self, x, step):
        for _ in range(3):
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x)
            x = x - 0.1 * slope + 0.05 * step.normal(len(x), 2)
        return x.detach()

    def contrast(self, batch, step):
        real, fake = self.energy(batch.x), self.energy(batch.negatives)
        return {"loss": real.mean() - fake.mean() + 0.1 * (real.square() + fake.square()).mean()}

    def validate(self, batch, step):
        return {"loss": self.energy(batch.x).mean() - self.energy(self.langevin(batch.x, step)).mean()}

    def validated(self, figures, improved) -> None:
        if not improved:
            self.rate /= 2


@dataclass(frozen=True, kw_only=True)
class StudentConfig(SmallConfig):
    teacher: str = ""
    """Run folder of a small-gan; one with random weights if empty."""


@dataclass
class Carried(Points):
    hidden: Tensor


class SmallStudent(Method):
    """A recurrent student of a frozen teacher. Row i of each batch continues with the hidden state of row i."""

    dataset = Ring

    def __init__(self, config: StudentConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.student = nn.ModuleDict({"cell": nn.GRUCell(2, 8), "head": nn.Linear(8, 1)})
        self.register_rank_state("hidden")
        self.register_reference("teacher", config.teacher or small_teacher())

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.student.parameters(), lr=self.config.lr, eps=1e-4)
        return {"student": Player(self.student, optimiser, LINEAR)}

    def update(self, batch, step) -> None:
        before = self.hidden if self.hidden is not None else batch.x.new_zeros(len(batch), 8)
        after: list[Tensor] = []

        def distil(rows, step):
            hidden = self.student["cell"](rows.x, rows.hidden)
            after.append(hidden.detach())
            with torch.no_grad():
                target = self.reference("teacher").discriminator(rows.x)
            return {"loss": (self.student["head"](hidden) - target).square().mean()}

        step.minimise("student", distil, Carried(ids=batch.ids, x=batch.x, hidden=before))
        self.hidden = torch.cat(after)


def small_teacher() -> str:
    """The folder of a small-gan with random weights, made once for each cache."""
    folder = cache_folder() / "small-teacher"

    def make(temporary: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            config = configured("small-gan")
            adopt(config, SmallGan(config.model, RingAssets(2.0)), RunFolder(temporary))

    build_once(folder, make)
    return str(folder)


class SmallContrastive(Method):
    """Two noisy views of each point, told apart from those of all other points of the batch."""

    dataset = Ring

    def __init__(self, config: SmallConfig, assets: RingAssets) -> None:
        super().__init__(config, assets)
        self.encoder = mlp(2, 4)

    def players(self) -> dict[str, Player]:
        optimiser = torch.optim.Adam(self.encoder.parameters(), lr=self.config.lr, eps=1e-4)
        return {"encoder": Player(self.encoder, optimiser, LINEAR)}

    def update(self, batch, step) -> None:
        step.minimise("encoder", self.info_nce, batch)

    def info_nce(self, batch, step):
        one, two = (normalize(self.encoder(batch.x + 0.1 * step.normal(len(batch), 2))) for _ in range(2))
        similarity = one @ step.gather(two).T / 0.2
        own = torch.arange(len(batch), device=batch.x.device) + step.ranks.rank * len(batch)
        return {"loss": cross_entropy(similarity, own)}


def _entry(name: str, implementation: str, model: MethodConfig | None = None, data: Any = None) -> Entry:
    schedule = TrainConfig(steps=40, batch_size=16, log_every=5, checkpoint_every=7, validate_every=10, seed=3)
    preset = Preset(summary="test", model=model or SmallConfig(), train=schedule, data=data or RingConfig())
    return Entry(
        name=name, summary="test", paper="", family="test", presets={"tiny": preset}, implementation=implementation
    )


register(_entry("small-contrastive", "small_methods:SmallContrastive"))
register(_entry("small-energy", "small_methods:SmallEnergy"))
register(_entry("small-gan", "small_methods:SmallGan"))
register(
    _entry(
        "small-image-vae",
        "small_methods:SmallImageVae",
        ImageVaeConfig(),
        ImageConfig(data="world:shapes", image_size=8, limit=100),
    )
)
register(_entry("small-pipeline", "small_methods:SmallPipeline"))
register(_entry("small-student", "small_methods:SmallStudent", StudentConfig()))
register(_entry("small-two-stage", "small_methods:SmallTwoStage"))


def configured(name: str = "small-gan", **settings: Any) -> RunConfig:
    """The tiny run of one of these methods; settings: of its training."""
    config = preset(f"{name}:tiny")[1]
    return replace(config, train=replace(config.train, **settings))


def train_image_vae(out: Path) -> Path:
    """The small VAE of images, trained for seconds until its latent is used."""
    torch.set_num_threads(1)
    sizes = {"image_size": 8, "limit": 1000, "latent_size": 6, "width": 64}
    seldom = {"log_every": 100, "validate_every": 0, "checkpoint_every": 1000}
    return train(configure("small-image-vae:tiny", **sizes, **seldom, steps=300, batch_size=64, device="cpu"), out).path
