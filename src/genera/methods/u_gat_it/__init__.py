"""U-GAT-IT: unpaired image-to-image translation (Kim et al., ICLR 2020), and FQ-U-GAT-IT (Zhao et al., ICML 2020)."""

from genera.engine.registry import Entry, register
from genera.methods.u_gat_it.presets import PRESETS

register(
    Entry(
        name="u-gat-it",
        summary="Unpaired image-to-image translation with attention and adaptive layer-instance normalisation",
        paper="Kim et al. 2020, arXiv 1907.10830; FQ: Zhao et al. 2020, arXiv 2004.02088",
        family="adversarial",
        implementation="genera.methods.u_gat_it.method:UGatIt",
        presets=PRESETS,
    )
)
