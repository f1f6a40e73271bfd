"""Optimus: a text VAE that joins BERT and GPT-2 (Li et al., EMNLP 2020)."""

from genera.engine.registry import Entry, register
from genera.methods.optimus.presets import PRESETS

register(
    Entry(
        name="optimus",
        summary="Text VAE joining BERT and GPT-2: sentences as points in a smooth latent space",
        paper="Li et al. 2020, arXiv 2004.04092",
        family="variational",
        implementation="genera.methods.optimus.method:Optimus",
        presets=PRESETS,
        planner="genera.methods.optimus.plan:plan",
    )
)
