"""What the figures of dialogue models mean. Imports no torch."""

from genera.measures.definition import Definition

_RESPONSES = "Responses"
_GAO = "Gao et al. 2019, SpaceFusion; Li et al. 2020, Optimus"
_BLEU = (
    "BLEU-3 of one sentence against one, smoothed by method 7 of Chen & Cherry, which can exceed 1. Published figures "
    "were made with an older smoothing that counts more, and lie higher for that reason alone."
)
_VECTORS = (
    "Vectors are made of the training turns unless --embeddings names a file; figures with different vectors cannot "
    "be compared."
)

DIALOGUE = [
    Definition(
        "bleu_recall",
        "BLEU recall of responses",
        "BLEU",
        "higher",
        f"How near the best of the responses to a context comes to a reference, on average. {_BLEU}",
        _GAO,
        _RESPONSES,
    ),
    Definition(
        "bleu_precision",
        "BLEU precision of responses",
        "BLEU",
        "higher",
        f"How near all responses to a context come to a reference, on average. {_BLEU}",
        _GAO,
        _RESPONSES,
    ),
    Definition(
        "bleu_f1",
        "BLEU F1 of responses",
        "BLEU",
        "higher",
        "Harmonic mean of BLEU recall and precision: responses that vary raise the one and lower the other.",
        _GAO,
        _RESPONSES,
    ),
    Definition(
        "bow_average",
        "Bag-of-words similarity, average",
        "cosine",
        "higher",
        f"Cosine of the mean word vectors of the best response and the reference. {_VECTORS}",
        "Liu et al. 2016",
        _RESPONSES,
    ),
    Definition(
        "bow_greedy",
        "Bag-of-words similarity, greedy",
        "cosine",
        "higher",
        f"Mean cosine of each word with the nearest one of the other sentence, both ways, best response. {_VECTORS}",
        "Liu et al. 2016",
        _RESPONSES,
    ),
    Definition(
        "bow_extrema",
        "Bag-of-words similarity, extrema",
        "cosine",
        "higher",
        "Cosine of the vectors that hold the value farthest from 0 of a sentence's words in each dimension, best "
        f"response. {_VECTORS}",
        "Liu et al. 2016",
        _RESPONSES,
    ),
    *(
        Definition(
            f"distinct_{n}_{where}",
            f"Distinct {name}, {where} {of}",
            "share",
            "higher",
            f"Different {name} over all {name} {text}, on average.",
            "Li et al. 2016; Gu et al. 2019",
            _RESPONSES,
        )
        for where, of, text in (
            ("within", "a response", "of one response: low means that it repeats itself"),
            ("across", "responses", "of all responses to one context: low means that they are alike"),
        )
        for n, name in ((1, "words"), (2, "pairs of words"))
    ),
    Definition(
        "response_nats",
        "Negative log-likelihood of responses",
        "nats/response",
        "lower",
        "Mean of -log p(response | context), from above: p is averaged over points drawn for the context.",
        "",
        _RESPONSES,
    ),
    Definition(
        "response_ppl_word",
        "Perplexity of responses per word",
        "per word",
        "lower",
        "exp(nats of all responses / number of their words, one end of sentence each included).",
        "",
        _RESPONSES,
    ),
    Definition(
        "response_floor",
        "Entropy floor of responses",
        "nats/response",
        "neither",
        "Mean of -log p(response | context) under the world that made them: no honest figure is lower on average.",
        "",
        _RESPONSES,
    ),
    Definition(
        "response_lost_on_swap",
        "Likelihood lost on a swap of contexts",
        "nats/response",
        "higher",
        "How much log p(response | context) drops when the context is another one. Near 0 the model responds to "
        "nothing that was said.",
        "",
        _RESPONSES,
    ),
    Definition(
        "valid_responses",
        "Right responses",
        "share",
        "higher",
        "Share of the responses that the world itself could have given to the context.",
        "",
        _RESPONSES,
    ),
    Definition(
        "valid_covered",
        "Right responses covered",
        "share",
        "higher",
        "Different right responses given to a context, over those that could have been given.",
        "",
        _RESPONSES,
    ),
    Definition(
        "style_ngram",
        "Style of responses, by n-grams",
        "probability",
        "higher",
        "Mean probability that a response is in the style rather than an ordinary one, by a classifier of words and "
        "pairs of words.",
        "Gao et al. 2019, StyleFusion",
        _RESPONSES,
    ),
    Definition(
        "style_ngram_references",
        "The same of the references",
        "probability",
        "neither",
        "What ordinary responses score for the style: the floor.",
        "",
        _RESPONSES,
    ),
    Definition(
        "style_ngram_style",
        "The same of the style itself",
        "probability",
        "neither",
        "What held-out sentences in the style score for it: the ceiling.",
        "",
        _RESPONSES,
    ),
]
