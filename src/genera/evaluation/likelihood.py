"""Evaluator `likelihood`: how probable is held-out data under the model?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from genera.console import say
from genera.engine.capabilities import Scores
from genera.errors import GeneraError
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.item_types import ITEM_TYPES, item_type
from genera.evaluation.latent import KL
from genera.evaluation.sentences import sentence_model
from genera.evaluation.text_uses import LIKELIHOODS
from genera.evaluation.untrained import ITEMS, untrained
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition, Estimate, Figures, Finding, evidence

if TYPE_CHECKING:
    from torch import Tensor

SCORED_AT_ONCE = 50
FEW = 10
"""Samples of a smaller bound; its distance from the larger one shows whether the larger one has converged."""
BURDA = "Burda et al. 2016, Importance weighted autoencoders"
_GROUP = "Likelihood"
UNDERCUT = 0.01
"""Nats per token below the entropy of the world that a finite sample allows."""
NEAR = 0.2
"""Nats per token above it at which a model has learnt the source (autoregressive models after 1,000 steps)."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodOptions(Options):
    items: int = 500
    """Number of items of the split, each decoded `samples` times."""
    samples: int = 100
    """K of the importance-weighted bound."""
    detokenise: Literal["ptb", "wikitext"] | None = None
    """Read tokenised benchmark texts (Penn Treebank, WikiText) as ordinary text; perplexities per word and bits per
    byte still count the original words and bytes."""


MEASURES = (
    Definition(
        "reconstruction",
        "Reconstruction term",
        "nats/item",
        "lower",
        "Mean of −log p(x|z) with z drawn from the item's posterior. The end of a sentence is predicted, its "
        "beginning is given.",
        "Kingma & Welling 2014",
        _GROUP,
    ),
    KL,
    Definition(
        "elbo",
        "ELBO",
        "nats/item",
        "higher",
        "−(reconstruction term + KL), a lower bound on log p(x). The gap is the KL of the encoder's posterior to "
        "the true posterior.",
        "Kingma & Welling 2014",
        _GROUP,
    ),
    Definition(
        "iw_bound",
        "Importance-weighted bound",
        "nats/item",
        "higher",
        "log of the mean importance weight p(x|z) p(z) / q(z|x) over K posterior samples, a lower bound on log "
        "p(x). Its expectation rises with K; K = 1 is the ELBO.",
        BURDA,
        _GROUP,
    ),
    Definition(
        "log_likelihood",
        "Log-likelihood",
        "nats/item",
        "higher",
        "Exact log p(x), of a model without a latent.",
        "",
        _GROUP,
    ),
    Definition(
        "ppl_word",
        "Perplexity per word",
        "per word",
        "lower",
        "exp(nats of all items / number of words, one end of sentence each included), from the best bound measured. "
        "Comparable between models with different vocabularies on the same sentences.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "ppl_word_unigram",
        "Perplexity per word, independent words",
        "per word",
        "neither",
        "Baseline: the same of a unigram model of the training sentences, which knows the frequencies of words and "
        "nothing of their order. It spells words that it has not seen.",
        "",
        _GROUP,
    ),
    Definition(
        "ppl_word_trigram",
        "Perplexity per word, trigrams",
        "per word",
        "neither",
        "Reference: the same of an interpolated Kneser-Ney trigram model of the training sentences (at most 100,000 of "
        "them). It spells words that it has not seen. A trained neural model is at least as good.",
        "Chen & Goodman 1999, An empirical study of smoothing techniques",
        _GROUP,
    ),
    Definition(
        "ppl_word_untrained",
        "Perplexity per word, untrained",
        "per word",
        "neither",
        "Baseline: the same of an untrained model of the same configuration, on fewer items.",
        "",
        _GROUP,
    ),
    Definition(
        "ppl_token",
        "Perplexity per token",
        "per token",
        "lower",
        "exp(nats of all items / number of predicted tokens, end of sentence included). Comparable only between models "
        "with the same vocabulary: shorter tokens make it smaller.",
        "",
        _GROUP,
    ),
    Definition(
        "ppl_token_bos_eos",
        "Perplexity per token, published count",
        "per token",
        "lower",
        "exp(nats of all items / number of tokens, both BOS and EOS included), from the best bound measured: the "
        "figure in the tables of Optimus. BOS is counted but never predicted, so this is below the perplexity per "
        "token.",
        "Li et al. 2020, Optimus, released code",
        _GROUP,
    ),
    Definition(
        "bits_per_byte",
        "Bits per byte",
        "bits/byte",
        "lower",
        "−log₂ p of all texts / number of their UTF-8 bytes, one end of line each included, from the best bound "
        "measured. Comparable between models with different vocabularies, and with compressors.",
        "",
        _GROUP,
    ),
    Definition(
        "nats_above_world",
        "Above the entropy of the world",
        "nats/token",
        "lower",
        "(−log p(x) under the model − the same under the world that generated the texts) / number of predicted tokens. "
        "No correct likelihood is below 0 on average: the model would have read what it predicts.",
        "",
        _GROUP,
    ),
    Definition(
        "bits_per_dimension",
        "Bits per dimension",
        "bits/value",
        "lower",
        "Mean of −log₂ p(x) over the number of an image's values (channels × height × width), from the best bound "
        "measured. Pixels have 8 bits; a uniform distribution reaches 8 bits per dimension.",
        "Theis et al. 2016, A note on the evaluation of generative models",
        _GROUP,
        headline=True,
    ),
    Definition(
        "log_likelihood_of_world",
        "Log-likelihood under the world",
        "nats/item",
        "neither",
        "Mean log p(x) of the items under the world that generated them, negative: minus the entropy of the data. No "
        "correct bound on log p(x) exceeds it on average.",
        "",
        _GROUP,
    ),
)


def measure(evaluation: Evaluation, options: LikelihoodOptions) -> None:
    """ELBO and importance-weighted bounds, or the exact likelihood; nats per word, token or dimension."""
    import torch

    from genera.console import track
    from genera.measures.estimate import mean_estimate
    from genera.measures.likelihood import ImportanceBound

    kind, items = item_type(evaluation.data.kind), evaluation.items(options.items)
    generator = evaluation.run.generator(evaluation.seed)
    read = _read(evaluation, items, options)
    parts = [read[i : i + SCORED_AT_ONCE] for i in range(0, len(read), SCORED_AT_ONCE)]
    reconstruction, kl, few, many, lengths = [], [], [], [], []
    for part in track(parts, "scoring"):
        score = evaluation.model.score(part, options.samples, generator=generator)
        reconstruction.append(-score.log_likelihood.mean(0).cpu())
        lengths.append({name: count.cpu() for name, count in score.lengths.items()})
        if score.kl is not None:
            kl.append(score.kl.double().cpu())
        bound = ImportanceBound()
        bound.add(score.log_weights[:FEW].cpu())
        few.append(bound.value())
        bound.add(score.log_weights[FEW:].cpu())
        many.append(bound.value())

    best = torch.cat(many)
    if kl:
        evaluation.record("reconstruction", mean_estimate(torch.cat(reconstruction)))
        evaluation.record("kl", mean_estimate(torch.cat(kl)))
        evaluation.record("elbo", mean_estimate(-(torch.cat(reconstruction) + torch.cat(kl))))
        if options.samples > FEW:
            evaluation.record("iw_bound", mean_estimate(torch.cat(few)), samples=FEW)
        evaluation.record("iw_bound", mean_estimate(best))
    else:
        evaluation.record("log_likelihood", mean_estimate(best))
    sizes = {name: torch.cat([part[name] for part in lengths]) for name in lengths[0]}
    for name, estimate in kind.per_unit(-best, items, sizes).items():
        evaluation.record(name, estimate)
    if evaluation.data.kind == "text":
        _text_references(evaluation, items)
    if (floor := kind.entropy_floor(items, evaluation.data.world)) is not None:
        evaluation.record("log_likelihood_of_world", Estimate(-floor.value, floor.error, floor.n))
        if not kl and "tokens" in sizes:
            _above_the_world(evaluation, items, -best, sizes["tokens"])
    evaluation.note(importance_samples=options.samples)


def _read(evaluation: Evaluation, items: Sequence[Any], options: LikelihoodOptions) -> Sequence[Any]:
    """The items as the model reads them."""
    if options.detokenise is None:
        return items
    if evaluation.data.kind != "text":
        raise GeneraError(f"--likelihood.detokenise is for text, but the items are {evaluation.data.kind}.")
    from genera.measures.detokenise import detokeniser

    way = detokeniser(options.detokenise)
    texts = [way.text(item) for item in items]
    restored = sum(way.tokens(text) == " ".join(item.split()) for text, item in zip(texts, items, strict=True))
    say(f"--likelihood.detokenise {way.name}: {restored / len(items):.1%} of the texts can be restored exactly.")
    return texts


def _above_the_world(evaluation: Evaluation, items: Sequence[str], nats: Tensor, tokens: Tensor) -> None:
    """Of an exact likelihood: nats (N,) of the items."""
    import torch

    from genera.measures.estimate import mean_estimate

    of_world = torch.tensor([-evaluation.data.world.log_probability(item) for item in items], dtype=torch.float64)
    if of_world.isfinite().all():
        evaluation.record("nats_above_world", mean_estimate((nats - of_world) / tokens.double().mean()))


def _text_references(evaluation: Evaluation, items: Sequence[str]) -> None:
    """Perplexities per word of simple models of the training sentences, and of an untrained model."""
    import torch

    from genera.measures.likelihood import per_word

    words = torch.tensor([len(item.split()) for item in items])
    if (model := sentence_model(evaluation)) is not None:
        evaluation.record("ppl_word_unigram", per_word(torch.from_numpy(model.unigram_nats(items)), words))
        evaluation.record("ppl_word_trigram", per_word(torch.from_numpy(model.nats(items)), words))
    score = untrained(evaluation).score(items[:ITEMS], 1, generator=evaluation.run.generator(evaluation.seed))
    evaluation.record("ppl_word_untrained", per_word(-score.log_weights[0].cpu(), words[:ITEMS]))


# -- diagnosis --------------------------------------------------------------------------------------------------------


def below_the_floor(figures: Figures) -> Iterator[Finding]:
    of_world = figures.get("log_likelihood_of_world")
    bounds = {n: v for n, v in figures.items() if n.partition("/")[0] in ("elbo", "log_likelihood", "iw_bound")}
    if of_world is None or not bounds:
        return
    best = max(bounds, key=bounds.__getitem__)
    undercut = figures.get("nats_above_world", 0.0) < -UNDERCUT
    if undercut or bounds[best] > of_world + max(0.1, -0.01 * of_world):  # room for the noise of a finite sample
        yield Finding(
            "warning",
            f"The bound is impossible: {bounds[best]:.2f} nats an item, above the {of_world:.2f} of the world that "
            "made the items.",
            {best: bounds[best], "log_likelihood_of_world": of_world},
            "The model reads what it predicts (leakage), or its likelihood is wrong: check the causal mask, whether "
            "the measured items are training items, and whether the end of sentence is predicted. Do not rely on any "
            "figure of this run.",
            "likelihoods",
        )


def above_the_world(figures: Figures) -> Iterator[Finding]:
    above = figures.get("nats_above_world")
    if above is None or above < -UNDERCUT:
        return  # impossible: `below_the_floor`
    near = "near the least possible" if above <= NEAR else "there is more to learn"
    yield Finding(
        "note",
        f"The likelihood is {above:.3f} nats per token above the entropy of the world that made the texts, which no "
        f"model undercuts: {near}.",
        evidence(figures, "nats_above_world", "log_likelihood", "log_likelihood_of_world"),
        f"Train longer or with a larger model while it is above {NEAR}. A value below 0 would mean leakage: that the "
        "model reads what it predicts.",
    )


def loose_bound(figures: Figures) -> Iterator[Finding]:
    few, many = figures.get(f"iw_bound/K={FEW}"), figures.get("iw_bound")
    samples = figures.facts.get("importance_samples", LikelihoodOptions().samples)
    if few is not None and many is not None and many - few > 2:  # nearly the ln 10 of one dominant sample
        yield Finding(
            "note",
            f"The likelihood bound has not converged: {samples} samples give {many - few:.1f} nats more than {FEW}.",
            evidence(figures, f"iw_bound/K={FEW}", "iw_bound"),
            "log p(x) is higher by an unknown amount, so perplexities are too high. Measure with more samples "
            "(--likelihood.samples) before you compare them with another model's.",
        )


EVALUATOR = Evaluator(
    name="likelihood",
    question="How probable is held-out data under the model?",
    measure=measure,
    measures=MEASURES,
    needs=(Scores,),
    items=tuple(ITEM_TYPES),
    options=LikelihoodOptions,
    rules=(verdict(LIKELIHOODS), below_the_floor, above_the_world, loose_bound),
)
