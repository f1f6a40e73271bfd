"""BigGAN (Brock et al., ICLR 2019), and FQ-BigGAN (Zhao et al., ICML 2020)."""

from genera.engine.registry import Entry, register
from genera.methods.biggan.presets import PRESETS

register(
    Entry(
        name="biggan",
        summary="Class-conditional images: residual GAN with a projection discriminator, with or without quantisation",
        paper="Brock et al. 2019, arXiv 1809.11096; FQ: Zhao et al. 2020, arXiv 2004.02088",
        family="adversarial",
        implementation="genera.methods.biggan.method:BigGan",
        presets=PRESETS,
    )
)
