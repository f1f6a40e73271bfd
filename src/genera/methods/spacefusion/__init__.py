"""SpaceFusion and StyleFusion on the networks of Optimus (Gao et al. 2019; Li et al. 2020), and Seq2Seq beside them."""

from genera.engine.registry import Entry, register
from genera.methods.spacefusion.presets import PRESETS

register(
    Entry(
        name="spacefusion",
        summary="Dialogue responses from one space of contexts and responses; in a style; Seq2Seq baseline",
        paper="Gao et al. 2019, arXiv 1902.11205 and 1909.05361",
        family="variational",
        implementation="genera.methods.spacefusion.method:SpaceFusion",
        presets=PRESETS,
    )
)
