"""Evaluator `fluency`: does a model write sentences that another language model finds likely?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genera.engine.capabilities import Decodes, Encodes, Responds, Samples
from genera.evaluation.evaluator import Evaluation, Evaluator, Options, require
from genera.evaluation.fluency_reference import Nats, open_reference
from genera.evaluation.interpolation import InterpolationOptions, paths_between
from genera.evaluation.responses import ResponsesOptions, generated
from genera.evaluation.sentences import prior_samples, reconstructions, spread
from genera.measures.schema import Definition, Estimate

_GROUP = "Fluency"
_REFERENCE = (
    "under a reference language model: a trigram model of the training sentences, or the model of --fluency.reference. "
    "Only figures under the same reference compare."
)


@dataclass(frozen=True, kw_only=True)
class FluencyOptions(Options):
    reference: str | None = None
    """Language model that judges: a run with likelihoods of text, such as one of gpt2-lm, or a folder or hub name
    of a GPT-2 or a Llama [an interpolated Kneser-Ney trigram model of the training sentences]."""
    count: int = 500
    """Number of samples, of reconstructions and of real sentences."""


def _definition(name: str, title: str, text: str, *, headline: bool = False) -> Definition:
    better = "neither" if name in ("data", "unigram", "shuffled") else "lower"
    return Definition(f"fluency_{name}", title, "per word", better, text, "", _GROUP, headline)  # type: ignore[arg-type]


MEASURES = (
    _definition(
        "samples",
        "Perplexity of samples",
        f"Perplexity per word of samples {_REFERENCE} Compare with real sentences. Repeated or few sentences can be "
        "likelier than real ones, so read it together with the measures of variety.",
        headline=True,
    ),
    _definition("reconstructions", "Perplexity of reconstructions", f"The same of reconstructions, {_REFERENCE}"),
    _definition("interpolations", "Perplexity of interpolations", f"The same of interpolated sentences, {_REFERENCE}"),
    _definition("responses", "Perplexity of responses", f"The same of responses, {_REFERENCE}"),
    _definition("data", "Perplexity of real sentences", f"Reference: the same of held-out sentences, {_REFERENCE}"),
    _definition(
        "unigram",
        "Perplexity of independent words",
        "Baseline: the same of sentences of independent words, drawn from all training words, as long as the held-out "
        f"sentences, {_REFERENCE}",
    ),
    _definition(
        "shuffled",
        "Perplexity of shuffled sentences",
        f"Baseline: the same of the held-out sentences with their words in random order, {_REFERENCE}",
    ),
)


def measure(evaluation: Evaluation, options: FluencyOptions) -> None:
    """What the model writes, real sentences and baselines, all under one reference model."""
    nats, name = open_reference(evaluation, options.reference)
    model, dialogues = evaluation.model, evaluation.data.kind == "dialogues"
    texts: dict[str, Sequence[str]] = {}
    if dialogues and isinstance(model, Responds):
        texts["responses"] = [each[0] for each in generated(evaluation, ResponsesOptions())]
    if not dialogues and isinstance(model, Samples):
        texts["samples"] = prior_samples(evaluation, options.count)
    if not dialogues and isinstance(model, Encodes) and isinstance(model, Decodes):
        texts["reconstructions"] = reconstructions(evaluation, options.count)
        if len(evaluation.items(2)) > 1:
            paths, _ = paths_between(evaluation, InterpolationOptions().pairs)
            texts["interpolations"] = [text for path in paths for text in path[1:-1]]
    require(texts, "needs Samples, Encodes and Decodes, or Responds")
    real = spread(evaluation, evaluation.split, options.count)
    words = [sentence.split() for sentence in real]
    draw = np.random.default_rng(evaluation.seed)
    texts |= {"data": real, "shuffled": [" ".join(draw.permutation(sentence)) for sentence in words]}
    split = evaluation.reference_split
    pool = np.array([word for text in spread(evaluation, split, 10 * options.count) for word in text.split()])
    texts["unigram"] = [" ".join(draw.choice(pool, len(sentence))) for sentence in words]
    for what, sentences in texts.items():
        evaluation.record(f"fluency_{what}", _perplexity(nats, sentences))
    evaluation.note(fluency_reference=name)


def _perplexity(nats: Nats, sentences: Sequence[str]) -> Estimate:
    import torch

    from genera.measures.likelihood import per_word

    words, values = np.array([len(sentence.split()) for sentence in sentences]), nats(sentences)
    read = ~np.isnan(values)
    if not read.any():
        return Estimate(math.inf, None, len(sentences))
    return per_word(torch.from_numpy(values[read]), torch.from_numpy(words[read]))


EVALUATOR = Evaluator(
    name="fluency",
    question="Does another language model find what the model writes as likely as real sentences?",
    measure=measure,
    measures=MEASURES,
    items=("text", "dialogues"),
    options=FluencyOptions,
)
