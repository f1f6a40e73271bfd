"""Evaluator `responses`: are the responses to a context like those that people give, right, and varied?"""

from collections.abc import Iterator
from dataclasses import dataclass

from genera.engine.capabilities import Responds
from genera.evaluation.blocks import Examples, Line
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence

SHOWN = 24
"""Contexts kept for the report."""
AT_ONCE = 25
"""Contexts whose responses are generated together."""
GROUP = "Responses"
_GAO = "Gao et al. 2019, SpaceFusion; Li et al. 2020, Optimus"
_BLEU = (
    "BLEU-3 of one sentence against one, smoothed by method 7 of Chen & Cherry, which can exceed 1. Published figures "
    "were made with an older smoothing that counts more, and lie higher for that reason alone."
)
_VECTORS = (
    "Vectors are made of the training turns unless --responses.embeddings names a file; figures with different "
    "vectors cannot be compared."
)


@dataclass(frozen=True, kw_only=True)
class ResponsesOptions(Options):
    contexts: int = 500
    """Number of contexts of the split."""
    count: int = 10
    """Number of responses per context."""
    embeddings: str = "in-domain"
    """Word vectors for comparing responses: in-domain (computed from the training responses), or a file in GloVe's text
    format."""


MEASURES = (
    Definition(
        "bleu_recall",
        "BLEU recall of responses",
        "BLEU",
        "higher",
        f"How near the best of the responses to a context comes to a reference, on average. {_BLEU}",
        _GAO,
        GROUP,
    ),
    Definition(
        "bleu_precision",
        "BLEU precision of responses",
        "BLEU",
        "higher",
        f"How near all responses to a context come to a reference, on average. {_BLEU}",
        _GAO,
        GROUP,
    ),
    Definition(
        "bleu_f1",
        "BLEU F1 of responses",
        "BLEU",
        "higher",
        "Harmonic mean of BLEU recall and precision: responses that vary raise the one and lower the other.",
        _GAO,
        GROUP,
        headline=True,
    ),
    Definition(
        "bow_average",
        "Bag-of-words similarity, average",
        "cosine",
        "higher",
        f"Cosine of the mean word vectors of the best response and the reference. {_VECTORS}",
        "Liu et al. 2016",
        GROUP,
    ),
    Definition(
        "bow_greedy",
        "Bag-of-words similarity, greedy",
        "cosine",
        "higher",
        f"Mean cosine of each word with the nearest one of the other sentence, both ways, best response. {_VECTORS}",
        "Liu et al. 2016",
        GROUP,
    ),
    Definition(
        "bow_extrema",
        "Bag-of-words similarity, extrema",
        "cosine",
        "higher",
        "Cosine of the vectors that hold the value farthest from 0 of a sentence's words in each dimension, best "
        f"response. {_VECTORS}",
        "Liu et al. 2016",
        GROUP,
    ),
    *(
        Definition(
            f"distinct_{n}_{where}",
            f"Distinct {name}, {where} {of}",
            "share",
            "higher",
            f"Different {name} over all {name} {text}, on average.",
            "Li et al. 2016; Gu et al. 2019",
            GROUP,
            headline=(n, where) == (2, "across"),
        )
        for where, of, text in (
            ("within", "a response", "of one response: low means that it repeats itself"),
            ("across", "responses", "of all responses to one context: low means that they are alike"),
        )
        for n, name in ((1, "words"), (2, "pairs of words"))
    ),
    Definition(
        "valid_responses",
        "Right responses",
        "share",
        "higher",
        "Share of the responses that the world itself could have given to the context.",
        "",
        GROUP,
        headline=True,
    ),
    Definition(
        "valid_covered",
        "Right responses covered",
        "share",
        "higher",
        "Different right responses given to a context, over those that could have been given.",
        "",
        GROUP,
    ),
)


def generated(evaluation: Evaluation, options: ResponsesOptions) -> list[list[str]]:
    """`options.count` responses to each of the contexts, generated once."""

    def respond() -> list[list[str]]:
        from genera.console import track

        run, items = evaluation.run, evaluation.items(options.contexts)
        generator, responses = run.generator(evaluation.seed), []
        for start in track(range(0, len(items), AT_ONCE), "responding"):
            contexts = [item.context for item in items[start : start + AT_ONCE]]
            longest = run.config.data.max_tokens
            responses += evaluation.model.respond(contexts, options.count, generator=generator, max_tokens=longest)
        return responses

    return evaluation.once("responses", respond)


def measure(evaluation: Evaluation, options: ResponsesOptions) -> None:
    """Several responses to each context, against its references and among themselves."""
    from genera.measures import responses as measured
    from genera.measures.word_vectors import WordVectors

    items, responses = evaluation.items(options.contexts), generated(evaluation, options)
    references = [item.references for item in items]
    recall, precision = measured.bleu_recall_precision(responses, references)
    evaluation.record("bleu_recall", recall)
    evaluation.record("bleu_precision", precision)
    evaluation.record("bleu_f1", Estimate(measured.f1(recall.value, precision.value), None, len(items)))
    if options.embeddings == "in-domain":
        vectors = WordVectors.of_texts(evaluation.data.responses(evaluation.reference_split))
    else:
        vectors = WordVectors.read(options.embeddings, [text for each in (*responses, *references) for text in each])
    for name, estimate in measured.embedding_similarity(responses, references, vectors).items():
        evaluation.record(f"bow_{name}", estimate)
    for n in (1, 2):
        evaluation.record(f"distinct_{n}_within", measured.distinct_within(responses, n))
        evaluation.record(f"distinct_{n}_across", measured.distinct_across(responses, n))
    right = None
    if (world := evaluation.data.world) is not None:
        right = [world.responses(item.context) for item in items]
        evaluation.record("valid_responses", measured.valid(responses, right))
        evaluation.record("valid_covered", measured.valid_covered(responses, right))
    cards = []
    for i, item in enumerate(items[:SHOWN]):
        known = None if right is None else right[i]
        card = [Line(text=turn, role="context") for turn in item.context]
        card.append(Line(text=" · ".join(item.references), role="said"))
        card += [
            Line(text=text, role="response", right=None if known is None else text in known) for text in responses[i]
        ]
        cards.append(card)
    lead = "Contexts of held-out dialogues, what was said to them, and what the model says."
    evaluation.show(Examples(section=GROUP, lead=lead, cards=cards))


# -- diagnosis --------------------------------------------------------------------------------------------------------


def variety(figures: Figures) -> Iterator[Finding]:
    across = figures.get("distinct_2_across")
    if across is not None and across < 0.2:
        yield Finding(
            "warning",
            f"The responses to a context are alike: {across:.0%} of their pairs of words differ.",
            evidence(figures, "distinct_2_across", "bleu_recall", "bleu_precision"),
            "Sample at a higher --temperature or --top-p; recall and variety say nothing about greedy responses.",
        )


def validity(figures: Figures) -> Iterator[Finding]:
    share, covered = figures.get("valid_responses"), figures.get("valid_covered")
    if share is not None and share >= 0.9:
        more = "" if covered is None else f", and they cover {covered:.0%} of what could be said"
        yield Finding(
            "good",
            f"{share:.0%} of the responses are right{more}.",
            evidence(figures, "valid_responses", "valid_covered"),
            "The world's truth was learned for contexts that training never showed.",
        )


EVALUATOR = Evaluator(
    name="responses",
    question="Are the responses to a context like those that people give, right, and varied?",
    measure=measure,
    measures=MEASURES,
    needs=(Responds,),
    items=("dialogues",),
    options=ResponsesOptions,
    rules=(variety, validity),
)
