"""Prevalent: a navigation agent pre-trained on data that a generative model synthesised (Hao et al., CVPR 2020)."""

from genera.engine.registry import Entry, register
from genera.methods.prevalent.presets import PRESETS

register(
    Entry(
        name="prevalent",
        summary="Navigation agents that follow instructions, pre-trained on instructions that a speaker wrote",
        paper="Hao et al. 2020, arXiv 2002.10638",
        family="navigation",
        implementation="genera.methods.prevalent.method:Prevalent",
        presets=PRESETS,
    )
)
