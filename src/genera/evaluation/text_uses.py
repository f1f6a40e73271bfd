"""What text models are used for, and how the diagnosis judges it: reconstructions, interpolations, samples, …"""

from dataclasses import replace

from genera.evaluation.advice import UNDERTRAINED, of_a_poor_latent, of_poor_samples, reconstructs
from genera.evaluation.verdict import Check, Use, share
from genera.measures.schema import Figures

FLUENT = "whether they are fluent"
VARIED = "whether they vary"
MATCH = "whether they match the input"
ENDS = "whether both ends are reconstructed"
BETWEEN = "whether the items between are like real ones"


def fluency(measure: str, question: str, items: str, *, best_is: str) -> Check:
    """A check of a perplexity under the reference model, between that of words without order and of real items."""
    return Check(
        measure=measure,
        question=question,
        worst="fluency_unigram",
        best="fluency_data",
        worst_is="independent words",
        best_is=best_is,
        also=((f"shuffled {items}", "fluency_shuffled"),),
        scale="log",
        span=0.2,
    )


RECONSTRUCTIONS = Use(
    name="reconstructions",
    checks=(
        Check(
            measure="bleu_reconstruction",
            question=MATCH,
            worst="bleu_unrelated",
            best=100.0,
            worst_is="an unrelated sentence",
            best_is="a perfect model",
            also=(("an untrained model", "bleu_untrained"),),
        ),
        share(
            "distinct_reconstructions",
            VARIED,
            best="distinct_inputs",
            worst_is="one sentence for all",
            best_is="the inputs",
        ),
    ),
    questions=(MATCH, VARIED),
    advice={
        "good": "The latent keeps what was read: reconstruct and encode with this model.",
        "fair": "Read the examples before you rely on them; longer training or a larger --latent-size improves them.",
        "poor": of_a_poor_latent,
        "unknown": "Run `genera evaluate` without --measures, on at least 100 items.",
    },
    names={"bleu_reconstruction": "BLEU", "distinct_reconstructions": "distinct reconstructions"},
    implied_by=("kl", "au"),
    unless=("mse_reconstruction", "bits_per_dimension"),
)

INTERPOLATIONS = Use(
    name="interpolations",
    checks=(
        replace(RECONSTRUCTIONS.checks[0], question=ENDS),
        Check(
            measure="mse_reconstruction",
            question=ENDS,
            worst="mse_of_mean_image",
            best=0.0,
            worst_is="the mean image",
            best_is="the image itself",
            good=0.7,
            poor=0.3,
        ),
        share("valid_interpolations", BETWEEN, worst_is="noise", best_is="the world's images"),
        share("grammatical_interpolations", BETWEEN, worst_is="random words", best_is="the world's sentences"),
        fluency("fluency_interpolations", BETWEEN, "sentences", best_is="held-out sentences"),
        share(
            "swap_share",
            "whether the decoder uses the latent",
            worst_is="a latent without effect",
            best_is="a latent that determines the sentence",
            poor=0.2,
            good=0.5,
        ),
    ),
    questions=(ENDS, BETWEEN),
    advice={
        "good": "Interpolations and analogies start from what was read and stay like real items.",
        "fair": "Read the examples: some ends or steps are wrong.",
        "poor": of_a_poor_latent,
        "unknown": "Run `genera evaluate` without --measures, on data with a training split.",
    },
    names={
        "bleu_reconstruction": "BLEU of the reconstructed ends",
        "mse_reconstruction": "squared error of the reconstructed ends",
        "valid_interpolations": "valid interpolations",
        "grammatical_interpolations": "grammatical interpolations",
        "fluency_interpolations": "perplexity under a reference model",
        "swap_share": "nats saved by the latent",
    },
    implied_by=("au",),
)

SAMPLES = Use(
    name="samples",
    checks=(
        share("grammatical_samples", FLUENT, worst_is="random words", best_is="the world's sentences"),
        fluency("fluency_samples", FLUENT, "sentences", best_is="held-out sentences"),
        share(
            "distinct_samples", VARIED, best="distinct_samples_data", worst_is="one sentence", best_is="real sentences"
        ),
        share("distinct_2", VARIED, best="distinct_2_data", worst_is="one pair", best_is="real sentences"),
        Check(
            measure="self_bleu",
            question=VARIED,
            worst=100.0,
            best="self_bleu_data",
            worst_is="one sentence",
            best_is="real sentences",
            span=5,
        ),
        share(
            "vocabulary_coverage",
            VARIED,
            best="vocabulary_coverage_data",
            worst_is="no word",
            best_is="training sentences",
        ),
        share(
            "length_match",
            "whether they are as long",
            worst_is="other lengths",
            best_is="the lengths of real sentences",
        ),
        share(
            "novel",
            "whether they are new",
            best="novel_data",
            worst_is="copies of training sentences",
            best_is="held-out sentences",
            span=0.1,
        ),
    ),
    questions=(FLUENT, VARIED),
    advice={
        "good": "Samples are as fluent and as varied as real sentences by these measures; read the examples.",
        "fair": "Read the examples; train for more steps, or start from pre-trained parts.",
        "poor": of_poor_samples,
        "unknown": "Run `genera evaluate` without --measures, on data with a training split.",
    },
    names={
        "grammatical_samples": "grammatical samples",
        "fluency_samples": "perplexity under a reference model",
        "fluency_data": "perplexity of held-out sentences",
        "fluency_unigram": "perplexity of independent words",
        "fluency_shuffled": "perplexity of shuffled sentences",
        "distinct_samples": "distinct samples",
        "distinct_2": "distinct word pairs",
        "self_bleu": "self-BLEU",
        "vocabulary_coverage": "vocabulary covered",
        "length_match": "match of lengths",
        "novel": "novel samples",
    },
    implied_by=("ppl_word",),
)


def of_a_poor_likelihood(figures: Figures) -> str:
    if reconstructs(figures):
        return (
            "An autoencoder whose latents lie far from the prior assigns data a low likelihood: reconstruct and encode "
            "with it, and do not compare its perplexity. A model of the density needs --beta 1."
        )
    return UNDERTRAINED


LIKELIHOODS = Use(
    name="likelihoods",
    checks=(
        Check(
            measure="ppl_word",
            question="whether they beat independent words",
            worst="ppl_word_unigram",
            best="ppl_word_trigram",
            worst_is="independent words",
            best_is="trigrams of the training sentences",
            also=(("an untrained model", "ppl_word_untrained"),),
            scale="log",
            span=0.1,
        ),
    ),
    questions=("whether they beat independent words",),
    advice={
        "good": "The perplexity compares with other models' on the same sentences.",
        "fair": "Train for more steps, or start from pre-trained parts.",
        "poor": of_a_poor_likelihood,
        "unknown": "Measure on data with a training split and at least 100 items.",
    },
    names={"ppl_word": "perplexity per word"},
    implied_by=("ppl_word",),
)

FITS = "whether they fit the context"
RESPONSES = Use(
    name="responses",
    checks=(
        Check(
            measure="valid_responses",
            question=FITS,
            unit="share",
            worst="valid_unrelated",
            best=1.0,
            worst_is="responses to other contexts",
            best_is="the world's responses",
        ),
        Check(
            measure="bleu_f1",
            question=FITS,
            worst="bleu_f1_unrelated",
            best="bleu_f1_references",
            worst_is="responses to other contexts",
            best_is="real responses",
            span=0.02,
        ),
        share(
            "distinct_2_across",
            VARIED,
            best="distinct_2_across_data",
            worst_is="one pair",
            best_is="real responses to different contexts",
            good=0.4,
            poor=0.15,
        ),
        fluency("fluency_responses", FLUENT, "responses", best_is="real responses"),
    ),
    questions=(FITS, VARIED, FLUENT),
    advice={
        "good": "Responses fit contexts that training did not show; read the examples.",
        "fair": "Read the examples; train for more steps, or start from pre-trained parts.",
        "poor": "Train for more steps or on more dialogues. Responses that are alike vary more at a higher "
        "--temperature.",
        "unknown": "Read the examples: without several references a context, or a world, nothing tells whether a "
        "response fits.",
    },
    names={
        "valid_responses": "right responses",
        "bleu_f1": "BLEU F1",
        "distinct_2_across": "distinct pairs of words",
        "fluency_responses": "perplexity under a reference model",
    },
    implied_by=("response_nats", "bleu_f1"),
)
