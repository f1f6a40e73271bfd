"""Evaluator `responses`: do responses fit their context, and are they as varied as real ones?"""

from collections.abc import Sequence
from dataclasses import dataclass

from genera.engine.capabilities import Responds
from genera.evaluation.blocks import Examples, Line
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.sentences import spread
from genera.evaluation.text_uses import RESPONSES
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition, Estimate

SHOWN = 24
"""Contexts kept for the report."""
AT_ONCE = 25
"""Contexts whose responses are generated together."""
GROUP = "Responses"
Responses = Sequence[Sequence[str]]
_GAO = "Gao et al. 2019, SpaceFusion; Li et al. 2020, Optimus"
_BLEU = (
    "BLEU-3 of one sentence against another, smoothed by method 7 of Chen & Cherry, which can exceed 1. Published "
    "figures use an older smoothing that gives higher values."
)
_VECTORS = (
    "Word vectors are computed from the training turns unless --responses.embeddings names a file; only figures "
    "with the same vectors compare."
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
        f"Mean over references of the highest BLEU of the responses to the context. {_BLEU}",
        _GAO,
        GROUP,
    ),
    Definition(
        "bleu_precision",
        "BLEU precision of responses",
        "BLEU",
        "higher",
        f"Mean over references of the mean BLEU of the responses to the context. {_BLEU}",
        _GAO,
        GROUP,
    ),
    Definition(
        "bleu_f1",
        "BLEU F1 of responses",
        "BLEU",
        "higher",
        "Harmonic mean of BLEU recall, which varied responses raise, and BLEU precision, which they lower.",
        _GAO,
        GROUP,
        headline=True,
    ),
    Definition(
        "bleu_f1_unrelated",
        "BLEU F1 of responses to other contexts",
        "BLEU",
        "neither",
        "Baseline: the same of the responses to the context of another dialogue, as if the model ignored the context.",
        "",
        GROUP,
    ),
    Definition(
        "bleu_f1_references",
        "BLEU F1 of references",
        "BLEU",
        "neither",
        "Reference: the same of a context's other references, for contexts with several of them.",
        "",
        GROUP,
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
        "Mean cosine of each word with the nearest word of the other sentence, in both directions, of the best "
        f"response. {_VECTORS}",
        "Liu et al. 2016",
        GROUP,
    ),
    Definition(
        "bow_extrema",
        "Bag-of-words similarity, extrema",
        "cosine",
        "higher",
        "Cosine of two vectors, of the best response and the reference, that hold in each dimension the largest "
        f"value by magnitude among the words. {_VECTORS}",
        "Liu et al. 2016",
        GROUP,
    ),
    *(
        Definition(
            f"distinct_{n}_{where}",
            f"Distinct {name}, {where} {of}",
            "share",
            "higher",
            f"Number of different {name} over the number of {name} {text}, averaged.",
            "Li et al. 2016; Gu et al. 2019",
            GROUP,
            headline=(n, where) == (2, "across"),
        )
        for where, of, text in (
            ("within", "a response", "of a response (low: it repeats itself)"),
            ("across", "responses", "of all responses to a context (low: they are alike)"),
        )
        for n, name in ((1, "words"), (2, "pairs of words"))
    ),
    Definition(
        "distinct_2_across_data",
        "Distinct pairs of words, real responses",
        "share",
        "neither",
        "Reference: the same of as many real responses to different contexts.",
        "",
        GROUP,
    ),
    Definition(
        "valid_responses",
        "Right responses",
        "share",
        "higher",
        "Share of responses that the world could have given to the context.",
        "",
        GROUP,
        headline=True,
    ),
    Definition(
        "valid_unrelated",
        "Right responses to other contexts",
        "share",
        "neither",
        "Baseline: share of responses to the context of another dialogue that the world could have given to the "
        "context.",
        "",
        GROUP,
    ),
    Definition(
        "valid_covered",
        "Right responses covered",
        "share",
        "higher",
        "Number of different right responses to a context over the number of right responses that the world knows, "
        "or of responses if there are fewer.",
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
    """Several responses to each context, against its references, each other, and those to other contexts."""
    from genera.measures import responses as measured
    from genera.measures.word_vectors import WordVectors

    items, responses = evaluation.items(options.contexts), generated(evaluation, options)
    references = [item.references for item in items]
    recall, precision = measured.bleu_recall_precision(responses, references)
    evaluation.record("bleu_recall", recall)
    evaluation.record("bleu_precision", precision)
    evaluation.record("bleu_f1", Estimate(measured.f1(recall.value, precision.value), None, len(items)))
    far = max(1, len(items) // 2)  # far away in the data, hence of another dialogue
    unrelated = [*responses[far:], *responses[:far]]
    evaluation.record("bleu_f1_unrelated", _bleu_f1(unrelated, references))
    several = [each for each in references if len(each) > 1]
    if several:
        others = [(list(each[:i] + each[i + 1 :]), [one]) for each in map(tuple, several) for i, one in enumerate(each)]
        evaluation.record("bleu_f1_references", _bleu_f1(*map(list, zip(*others, strict=True))))
    if options.embeddings == "in-domain":
        vectors = WordVectors.of_texts(evaluation.data.responses(evaluation.reference_split))
    else:
        vectors = WordVectors.read(options.embeddings, [text for each in (*responses, *references) for text in each])
    for name, estimate in measured.embedding_similarity(responses, references, vectors).items():
        evaluation.record(f"bow_{name}", estimate)
    for n in (1, 2):
        evaluation.record(f"distinct_{n}_within", measured.distinct_within(responses, n))
        evaluation.record(f"distinct_{n}_across", measured.distinct_across(responses, n))
    real = spread(evaluation, evaluation.split, len(items) * options.count)
    step = -(-len(real) // options.count)
    different = [real[first::step] for first in range(step)]
    evaluation.record("distinct_2_across_data", measured.distinct_across(different, 2))
    right = None
    if (world := evaluation.data.world) is not None:
        right = [world.responses(item.context) for item in items]
        evaluation.record("valid_responses", measured.valid(responses, right))
        evaluation.record("valid_unrelated", measured.valid(unrelated, right))
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
    lead = "Contexts of held-out dialogues, their real responses, and the model's."
    evaluation.show(Examples(section=GROUP, lead=lead, cards=cards))


# -- diagnosis --------------------------------------------------------------------------------------------------------


def _bleu_f1(responses: Responses, references: Responses) -> Estimate:
    from genera.measures.responses import bleu_recall_precision, f1

    recall, precision = bleu_recall_precision(responses, references)
    return Estimate(f1(recall.value, precision.value), None, recall.n)


EVALUATOR = Evaluator(
    name="responses",
    question="Do responses fit their context, and are they as varied as real ones?",
    measure=measure,
    measures=MEASURES,
    needs=(Responds,),
    items=("dialogues",),
    options=ResponsesOptions,
    rules=(verdict(RESPONSES),),
)
