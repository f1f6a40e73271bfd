"""What to try with a model of a latent, by the cause that its figures show. Imports no torch."""

import math

from genera.measures.schema import Figures

COLLAPSE = (
    "Let the latent carry information before the KL term weighs on it: --beta-schedule cyclical with a first part at "
    "β = 0, and --free-bits 0.5 (a minimum KL per dimension); a smaller --beta also helps."
)
UNDERTRAINED = (
    "The model is undertrained: train for more steps, or start from pre-trained parts (--pretrained-encoder, "
    "--pretrained-decoder, or --init RUN)."
)
SMALL_LATENT = (
    "Train for more steps; then let more pass through the latent: a larger --latent-size, a smaller --beta, or more "
    "--free-bits."
)
HOLES = (
    "The model reconstructs, but latents drawn from the prior do not decode well (holes: the aggregated posterior does "
    "not match the prior). Use it as an autoencoder (reconstruct, interpolate, analogy), or sample through a guide, "
    "which is fitted to encoded items (`genera guide`). To sample from the prior, train with a larger --beta, or "
    "with a --beta-schedule that ends at 1."
)


def collapsed(figures: Figures) -> bool:
    """The decoder ignores the latent. However large the KL, it then loses nothing on a swap."""
    share, nats = figures.get("swap_share"), figures.get("likelihood_lost_on_swap", math.inf)
    ignored = nats < 0.5 if share is None else share < 0.02
    return figures.get("kl", math.inf) < 0.5 or ignored


def barely_used(figures: Figures) -> bool:
    return figures.get("kl", math.inf) < 3 and figures.get("exact_reconstruction", 1) < 0.05


def near_single_words(figures: Figures) -> bool:
    """Its likelihood is hardly better than that of independent words."""
    ppl, unigram = figures.get("ppl_word"), figures.get("ppl_word_unigram")
    return ppl is not None and unigram is not None and ppl > 0.7 * unigram


def reconstructs(figures: Figures) -> bool:
    return figures.get("bleu_reconstruction", 0) > 50 or figures.get("exact_reconstruction", 0) > 0.5


def of_a_poor_latent(figures: Figures) -> str:
    if collapsed(figures) or barely_used(figures):
        return COLLAPSE
    return UNDERTRAINED if near_single_words(figures) else SMALL_LATENT


def of_poor_samples(figures: Figures) -> str:
    if reconstructs(figures):
        return HOLES
    if "kl" in figures and collapsed(figures):
        return f"{COLLAPSE} A collapsed model decoded greedily repeats itself: sample with --temperature 1."
    return f"{UNDERTRAINED} Samples that repeat each other vary more with --temperature 1."
