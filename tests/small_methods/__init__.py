"""Small methods that prove the engine's contract (several players, several stages, every kind of state, on points of a
ring), and that the uses of a latent serve images as they serve text."""

from typing import Any

from genera.data.images.config import ImageConfig
from genera.engine.config import MethodConfig, TrainConfig
from genera.engine.registry import Entry, Preset, register
from small_methods.contrastive import SmallContrastive
from small_methods.energy import SmallEnergy
from small_methods.gan import SmallGan
from small_methods.image_vae import ImageVaeConfig, SmallImageVae, train_image_vae
from small_methods.ring import Points, Ring, RingAssets, RingConfig, SmallConfig, configured
from small_methods.stages import SmallPipeline, SmallTwoStage
from small_methods.student import SmallStudent, StudentConfig

__all__ = [
    "ImageVaeConfig",
    "Points",
    "Ring",
    "RingAssets",
    "RingConfig",
    "SmallConfig",
    "SmallContrastive",
    "SmallEnergy",
    "SmallGan",
    "SmallImageVae",
    "SmallPipeline",
    "SmallStudent",
    "SmallTwoStage",
    "StudentConfig",
    "configured",
    "train_image_vae",
]


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
