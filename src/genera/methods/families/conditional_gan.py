"""What class-conditional image GANs share as methods: their players, turns and fakes, and samples."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Generator as Noise
from torch import Tensor, nn

from genera.blocks.quantisation import insert
from genera.blocks.resnet_gan import Generator, initialise
from genera.blocks.resnet_gan_config import ResNetGanConfig
from genera.blocks.spectral import Spectral
from genera.data.images.dataset import ImageAssets, ImageBatch, ImageData
from genera.engine.method import Method
from genera.engine.optimisers import gan_player
from genera.engine.player import Player
from genera.engine.step import Step
from genera.errors import GeneraError, unknown

ROWS_AT_ONCE = 64
"""Images generated together outside of training."""

Class = int | str


class ConditionalGan(Method):
    """BigGAN's generator against a discriminator that the method brings. Unlabelled data is one class.

    config.quantiser.after is all that turns feature quantisation on.
    """

    dataset = ImageData

    def __init__(self, config: ResNetGanConfig, assets: ImageAssets) -> None:
        super().__init__(config, assets)
        self.latent_size = config.latent_size
        self.classes = max(1, len(assets.classes))
        self.generator = Generator(config, assets.size, assets.channels, self.classes)
        self.discriminator = self.make_discriminator(assets.size, assets.channels)
        for layer in self.modules():
            if isinstance(layer, Spectral):
                layer.iterations = config.spectral_iterations
        image = torch.zeros(1, assets.channels, assets.size, assets.size)
        inputs = (image, torch.zeros(1, dtype=torch.int64)) if self.discriminator.conditional else image
        self.quantisation = insert(self.discriminator, config.quantiser, inputs)

    def make_discriminator(self, size: int, channels: int) -> Any:
        """Images [, classes] → what the method's losses judge by; `conditional` says whether it takes the classes."""
        raise TypeError(f"{type(self).__name__} must define make_discriminator()")

    # training

    def initialise(self) -> None:
        initialise(self.generator, self.config.first_weights)
        initialise(self.discriminator, self.config.first_weights)

    def players(self) -> dict[str, Player]:
        config = self.config
        judge = nn.ModuleList([self.discriminator, self.quantisation])
        shared = {"optimiser": config.optimiser, "betas": config.betas, "eps": config.adam_eps}
        return {
            "discriminator": gan_player(judge, lr=config.d_lr, **shared, averaged=False),
            "generator": gan_player(self.generator, lr=config.g_lr, **shared, average_buffers=True),
        }

    def turns(self, batch: ImageBatch) -> list[ImageBatch]:
        """The batch dealt to the turns of D: row i goes to turn i mod d_steps, so that every turn has other rows, and
        the same ones however many ranks hold the batch."""
        count = self.config.d_steps
        if len(batch) % count:
            raise GeneraError(
                f"{len(batch)} rows a rank do not deal into {count} turns of the discriminator; "
                f"--batch-size must be a multiple of --d-steps {count} on every rank."
            )
        return [batch[first::count] for first in range(count)]

    def fake(self, step: Step, count: int) -> tuple[Tensor, Tensor]:
        """G(z, y) of z ~ N(0, I) and uniform classes y, and those classes."""
        classes = step.integers(self.classes, count)
        return self.generator(step.normal(count, self.latent_size), classes), classes

    def labels(self, batch: ImageBatch) -> Tensor:
        return torch.zeros_like(batch.ids) if batch.labels is None else batch.labels

    # what the trained model can do

    def sample(
        self,
        count: int,
        *,
        generator: Noise | None = None,
        classes: Class | Sequence[Class] | None = None,
        truncation: float | None = None,
    ) -> list[Tensor]:
        """`count` images (C, S, S) in [-1, 1], on the CPU.

        classes: one class by name or number, or several that take turns; drawn at random if not given.
        truncation: z from N(0, I) cut at ± this; smaller is more typical and less varied.
        Raises GeneraError for an unknown class, and a truncation that is not above 0.
        """
        z = torch.randn(count, self.latent_size, generator=generator, device=self.generator.first.weight.device)
        return self.decode(z, generator=generator, classes=classes, truncation=truncation)

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        *,
        generator: Noise | None = None,
        classes: Class | Sequence[Class] | None = None,
        truncation: float | None = None,
    ) -> list[Tensor]:
        """z: (N, Z) ~ N(0, I) → N images, as `sample`."""
        if truncation is not None:
            z = truncated(z, truncation)
        y = self._numbers(classes, len(z), generator, z.device)
        # Moments of the batch at hand need a whole one: random companions fill it up and are dropped.
        whole = self.config.norm == "batch" and self.config.test_statistics == "batch"
        images: list[Tensor] = []
        for some, of in zip(z.split(ROWS_AT_ONCE), y.split(ROWS_AT_ONCE), strict=True):
            missing = ROWS_AT_ONCE - len(some) if whole else 0
            more = torch.randn(missing, self.latent_size, generator=generator, device=z.device)
            others = self._numbers(None, missing, generator, z.device)
            made = self.generator(torch.cat([some, more]), torch.cat([of, others]))
            images += made[: len(some)].cpu()
        return images

    def _numbers(
        self, classes: Class | Sequence[Class] | None, count: int, generator: Noise | None, device: torch.device
    ) -> Tensor:
        if classes is None:
            return torch.randint(self.classes, (count,), generator=generator, device=device)
        wanted: list[Any] = list(classes) if isinstance(classes, list | tuple | range) else [classes]
        if not all(isinstance(name, int | str) for name in wanted):
            raise GeneraError(f"classes must be names or numbers, got {classes!r}.")
        if not wanted:
            raise GeneraError("classes is empty; name at least one class, or leave it out.")
        numbers = [self._number(name) for name in wanted]
        return torch.tensor(numbers, device=device)[torch.arange(count, device=device) % len(numbers)]

    def _number(self, name: Class) -> int:
        names = self.assets.classes
        if isinstance(name, str) and name in names:
            return names.index(name)
        if isinstance(name, int) and 0 <= name < self.classes:
            return name
        if isinstance(name, int):
            raise GeneraError(f"there is no class {name}; this model has 0 to {self.classes - 1}.")
        raise unknown("class", name, names) if names else GeneraError(f"unknown class {name!r}; this model has none.")


def truncated(z: Tensor, bound: float) -> Tensor:
    """z ~ N(0, 1) → values of N(0, 1) cut at ± bound, through the quantiles of both: rising in z.

    Raises GeneraError for a bound that is not above 0.
    """
    if not isinstance(bound, Real) or not bound > 0:
        raise GeneraError(f"truncation is {bound!r}; it must be a number above 0 (2 cuts off one value in 22).")
    inside = math.erf(bound / 2**0.5)
    return (2**0.5 * ((z.double() / 2**0.5).erf() * inside).erfinv()).to(z.dtype)
