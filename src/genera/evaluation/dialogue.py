"""How dialogue models are measured, part by part."""

from collections.abc import Callable

import numpy as np
import torch

from genera.console import track
from genera.engine.capabilities import Responds, ScoresResponses
from genera.evaluation.evaluate import Evaluation
from genera.measures import responses as measured
from genera.measures.classifiers import TfidfClassifier
from genera.measures.estimate import Estimate, mean_estimate
from genera.measures.likelihood import ImportanceBound, per_word
from genera.measures.word_vectors import WordVectors

SHOWN = 24
"""Contexts kept for the report."""
AT_ONCE = 25
"""Contexts whose responses are generated together."""
STYLE_TEXTS = 5000
"""Sentences of each class that the classifier of style learns from, at most."""


def likelihood(evaluation: Evaluation) -> bool:
    """log p(response | context), and how much of it is lost with another context."""
    model, config = evaluation.run.method, evaluation.config
    if not isinstance(model, ScoresResponses):
        return False
    items = evaluation.items(config.likelihood_items)
    pairs = [(item.context, reference) for item in items for reference in item.references][: config.likelihood_items]
    contexts, references = [list(context) for context, _ in pairs], [reference for _, reference in pairs]
    other = max(1, len(contexts) // 2)  # far away in the data, hence of another dialogue
    bounds = []
    for of in (contexts, contexts[other:] + contexts[:other]):
        generator, parts = evaluation.run.generator(config.seed), []
        for start in track(range(0, len(of), AT_ONCE), "scoring responses"):
            some = slice(start, start + AT_ONCE)
            bound = ImportanceBound()
            scores = model.score_responses(of[some], references[some], config.importance_samples, generator=generator)
            bound.add(scores.cpu())
            parts.append(bound.value())
        bounds.append(torch.cat(parts))
    own, swapped = bounds
    figures = evaluation.measures
    figures["response_nats"] = mean_estimate(-own)
    figures["response_ppl_word"] = per_word(-own, torch.tensor([len(r.split()) for r in references]))
    figures["response_lost_on_swap"] = mean_estimate(own - swapped)
    if (world := evaluation.data.world) is not None:
        figures["response_floor"] = mean_estimate([np.log(len(world.responses(context))) for context in contexts])
    return True


def responses(evaluation: Evaluation) -> bool:
    """Several responses to each context, against its references and among themselves."""
    model, config, figures = evaluation.run.method, evaluation.config, evaluation.measures
    if not isinstance(model, Responds):
        return False
    items = evaluation.items(config.contexts)
    generator, given = evaluation.run.generator(config.seed), []
    for start in track(range(0, len(items), AT_ONCE), "responding"):
        contexts = [item.context for item in items[start : start + AT_ONCE]]
        longest = evaluation.run.config.data.max_tokens
        given += model.respond(contexts, config.responses, generator=generator, max_tokens=longest)
    references = [item.references for item in items]
    evaluation.shared["responses"] = given
    recall, precision = measured.bleu_recall_precision(given, references)
    figures["bleu_recall"], figures["bleu_precision"] = recall, precision
    figures["bleu_f1"] = Estimate(measured.f1(recall.value, precision.value), None, len(items))
    training = evaluation.data.responses("train")
    if config.embeddings == "in-domain":
        vectors = WordVectors.of_texts(training)
    else:
        said = [text for each in (*given, *references) for text in each]
        vectors = WordVectors.read(config.embeddings, said)
    for name, estimate in measured.embedding_similarity(given, references, vectors).items():
        figures[f"bow_{name}"] = estimate
    for n in (1, 2):
        figures[f"distinct_{n}_within"] = measured.distinct_within(given, n)
        figures[f"distinct_{n}_across"] = measured.distinct_across(given, n)
    world, right = evaluation.data.world, None
    if world is not None:
        right = [world.responses(item.context) for item in items]
        figures["valid_responses"] = measured.valid(given, right)
        figures["valid_covered"] = measured.valid_covered(given, right)
    evaluation.examples["responses"] = [
        {
            "context": list(item.context),
            "references": list(item.references),
            "responses": [{"text": text, "right": None if right is None else text in right[i]} for text in given[i]],
        }
        for i, item in enumerate(items[:SHOWN])
    ]
    return True


def style(evaluation: Evaluation) -> bool:
    """How much the responses are in the style, by a classifier of n-grams."""
    data = evaluation.data
    if data.style is None or "responses" not in evaluation.shared:
        return False
    ordinary = data.responses("train")[:STYLE_TEXTS]
    styled = data.style.items("train", STYLE_TEXTS)
    classes = np.repeat([0, 1], [len(ordinary), len(styled)])
    classifier = TfidfClassifier([*ordinary, *styled]).fit(np.arange(len(classes)), classes)
    texts = {
        "style_ngram": [text for each in evaluation.shared["responses"] for text in each],
        "style_ngram_references": data.responses(evaluation.config.split)[:STYLE_TEXTS],
        "style_ngram_style": data.style.items("test", STYLE_TEXTS),
    }
    for name, of in texts.items():
        evaluation.measures[name] = mean_estimate(classifier.probabilities(of)[:, 1])
    return True


PARTS: dict[str, Callable[[Evaluation], bool]] = {"likelihood": likelihood, "responses": responses, "style": style}
