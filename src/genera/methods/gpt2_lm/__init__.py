"""GPT-2 as a plain language model: the baseline beside the text VAEs (Radford et al. 2019)."""

from genera.engine.registry import Entry, register
from genera.methods.gpt2_lm.presets import PRESETS

register(
    Entry(
        name="gpt2-lm",
        summary="GPT-2 language model: exact likelihood, no latent; the baseline of the text VAEs",
        paper="Radford et al. 2019",
        family="autoregressive",
        implementation="genera.methods.gpt2_lm.method:Gpt2Lm",
        presets=PRESETS,
    )
)
