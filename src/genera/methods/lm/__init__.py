"""Autoregressive language models, GPT-2 and Llama, from a laptop's size to published ones (Radford et al. 2019)."""

from genera.engine.registry import Entry, register
from genera.methods.lm.presets import GPT2_LM, LM

register(
    Entry(
        name="lm",
        summary="language model, GPT-2 or Llama: exact likelihood; published sizes up to 17 B parameters",
        paper="Radford et al. 2019",
        family="autoregressive",
        implementation="genera.methods.lm.method:Lm",
        presets=LM,
        imported_as="smollm2-135m",
    )
)
register(
    Entry(
        name="gpt2-lm",
        summary="GPT-2 one sentence at a time: the baseline of the text VAEs",
        paper="Radford et al. 2019",
        family="autoregressive",
        implementation="genera.methods.lm.method:Lm",
        presets=GPT2_LM,
    )
)
