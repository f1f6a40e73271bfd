"""TAC-GAN (Gong et al., NeurIPS 2019), AC-GAN, and both with feature quantisation (Zhao et al., ICML 2020)."""

from genera.engine.registry import Entry, register
from genera.methods.tac_gan.presets import PRESETS

register(
    Entry(
        name="tac-gan",
        summary="Class-conditional images whose classes may overlap: a GAN with twin auxiliary classifiers",
        paper="Gong et al. 2019, arXiv 1907.02690; FQ: Zhao et al. 2020, arXiv 2004.02088",
        family="adversarial",
        implementation="genera.methods.tac_gan.method:TacGan",
        presets=PRESETS,
    )
)
