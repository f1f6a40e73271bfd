"""StyleGAN2: images from styles (Karras et al., CVPR 2020), and FQ-StyleGAN2 (Zhao et al., ICML 2020)."""

from genera.engine.registry import Entry, register
from genera.methods.stylegan2.presets import PRESETS

register(
    Entry(
        name="stylegan2",
        summary="StyleGAN2: unconditional images, style mixing, truncation",
        paper="Karras et al. 2020, arXiv 1912.04958; FQ: Zhao et al. 2020, arXiv 2004.02088",
        family="adversarial",
        implementation="genera.methods.stylegan2.method:StyleGan2",
        presets=PRESETS,
    )
)
