"""Evaluator `response-likelihood`: how probable are real responses, and how much does their context contribute?"""

from collections.abc import Iterator
from dataclasses import dataclass

from genera.engine.capabilities import ScoresResponses
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.responses import AT_ONCE, GROUP
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence


@dataclass(frozen=True, kw_only=True)
class ResponseLikelihoodOptions(Options):
    items: int = 500
    """Number of references of the split, each decoded `samples` times."""
    samples: int = 100
    """Number of latents drawn per context, over which the probability of a response is averaged."""


MEASURES = (
    Definition(
        "response_nats",
        "Negative log-likelihood of responses",
        "nats/response",
        "lower",
        "Mean of −log p(response | context), an upper bound: p is averaged over latents drawn for the context.",
        "",
        GROUP,
        headline=True,
    ),
    Definition(
        "response_ppl_word",
        "Perplexity of responses per word",
        "per word",
        "lower",
        "exp(nats of all responses / number of their words, one end of sentence each included).",
        "",
        GROUP,
    ),
    Definition(
        "response_floor",
        "Entropy floor of responses",
        "nats/response",
        "neither",
        "Mean of −log p(response | context) under the world that generated the dialogues. No correct figure is "
        "lower on average.",
        "",
        GROUP,
    ),
    Definition(
        "response_lost_on_swap",
        "Likelihood lost on a swap of contexts",
        "nats/response",
        "higher",
        "Mean decrease of log p(response | context) when the context is replaced by that of another dialogue. Near "
        "0, the model ignores the context.",
        "",
        GROUP,
        headline=True,
    ),
    Definition(
        "response_swap_share",
        "Nats saved by the context",
        "share",
        "higher",
        "The likelihood lost on a swap of contexts over −log p(response | another context): the share of a "
        "response's nats that its own context saves.",
        "",
        GROUP,
    ),
)


def measure(evaluation: Evaluation, options: ResponseLikelihoodOptions) -> None:
    """log p(response | context), and how much of it is lost with another context."""
    import numpy as np
    import torch

    from genera.console import track
    from genera.measures.estimate import mean_estimate
    from genera.measures.likelihood import ImportanceBound, per_word

    items = evaluation.items(options.items)
    pairs = [(item.context, reference) for item in items for reference in item.references][: options.items]
    contexts, references = [list(context) for context, _ in pairs], [reference for _, reference in pairs]
    far = max(1, len(contexts) // 2)  # far away in the data, hence of another dialogue
    bounds = []
    for of in (contexts, contexts[far:] + contexts[:far]):
        generator, parts = evaluation.run.generator(evaluation.seed), []
        for start in track(range(0, len(of), AT_ONCE), "scoring responses"):
            some = slice(start, start + AT_ONCE)
            bound = ImportanceBound()
            scores = evaluation.model.score_responses(of[some], references[some], options.samples, generator=generator)
            bound.add(scores.cpu())
            parts.append(bound.value())
        bounds.append(torch.cat(parts))
    right, swapped = bounds
    evaluation.record("response_nats", mean_estimate(-right))
    evaluation.record("response_ppl_word", per_word(-right, torch.tensor([len(r.split()) for r in references])))
    evaluation.record("response_lost_on_swap", mean_estimate(right - swapped))
    share = float((right - swapped).sum() / -swapped.sum())
    evaluation.record("response_swap_share", Estimate(share, None, len(right)))
    if (world := evaluation.data.world) is not None:
        floor = mean_estimate([np.log(len(world.responses(context))) for context in contexts])
        evaluation.record("response_floor", floor)


# -- diagnosis --------------------------------------------------------------------------------------------------------


def impossible(figures: Figures) -> Iterator[Finding]:
    nats, floor = figures.get("response_nats"), figures.get("response_floor")
    if nats is not None and floor is not None and nats < floor - max(0.1, 0.05 * floor):
        yield Finding(
            "warning",
            f"The likelihood is impossible: {nats:.2f} nats a response, below the world's entropy of {floor:.2f}.",
            evidence(figures, "response_nats", "response_floor"),
            "The model reads what it predicts, or its likelihood is wrong. Do not rely on any figure of this run.",
            "responses",
        )


def relevance(figures: Figures) -> Iterator[Finding]:
    lost, share = figures.get("response_lost_on_swap"), figures.get("response_swap_share")
    if lost is None:
        return
    if lost < 0.5 if share is None else share < 0.02:
        told = (
            f"{lost:.2f} nats a response" if share is None else f"{lost:.2f} nats a response, {share:.1%} of its nats"
        )
        yield Finding(
            "warning",
            f"The responses ignore the context: the context of another dialogue costs {told}.",
            evidence(figures, "response_lost_on_swap", "response_swap_share"),
            "Train for more steps or on more dialogues: the decoder learns frequent responses first, and contexts "
            "last.",
            "responses",
        )


EVALUATOR = Evaluator(
    name="response-likelihood",
    question="How probable are real responses, and how much does their context contribute?",
    measure=measure,
    measures=MEASURES,
    needs=(ScoresResponses,),
    items=("dialogues",),
    options=ResponseLikelihoodOptions,
    rules=(impossible, relevance),
)
