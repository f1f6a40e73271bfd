"""Evaluator `likelihood`: how probable is held-out data under the model?"""

from collections.abc import Iterator
from dataclasses import dataclass

from genera.engine.capabilities import Scores
from genera.evaluation.evaluator import Evaluation, Evaluator, Options
from genera.evaluation.item_types import ITEM_TYPES, item_type
from genera.evaluation.latent import KL
from genera.measures.schema import Definition, Figures, Finding, evidence

SCORED_AT_ONCE = 50
FEW = 10
"""Samples of the smaller bound, whose distance from the larger shows whether that has settled."""
BURDA = "Burda et al. 2016, Importance weighted autoencoders"
_GROUP = "Likelihood"


@dataclass(frozen=True, kw_only=True)
class LikelihoodOptions(Options):
    items: int = 500
    """Number of items of the split, each decoded `samples` times."""
    samples: int = 100
    """K of the importance-weighted bound."""


MEASURES = (
    Definition(
        "reconstruction",
        "Reconstruction term",
        "nats/item",
        "lower",
        "Mean of −log p(x|z) with z drawn from the item's own posterior: what is still unknown once z is "
        "given. The end of a sentence is counted, its beginning is not.",
        "Kingma & Welling 2014",
        _GROUP,
    ),
    KL,
    Definition(
        "elbo",
        "ELBO",
        "nats/item",
        "higher",
        "−(reconstruction term + KL): a lower bound on log p(x), negative. The gap to log p(x) is how far"
        " the encoder's posterior is from the true one.",
        "Kingma & Welling 2014",
        _GROUP,
    ),
    Definition(
        "iw_bound",
        "Importance-weighted bound",
        "nats/item",
        "higher",
        "log of the mean importance weight p(x|z) p(z) / q(z|x) over K posterior samples: a lower bound"
        " on log p(x), negative, that never falls as samples are added. One sample is the ELBO.",
        BURDA,
        _GROUP,
    ),
    Definition(
        "log_likelihood",
        "Log-likelihood",
        "nats/item",
        "higher",
        "Exact log p(x) of a model without a latent, negative; stands where a latent model has a bound.",
        "",
        _GROUP,
    ),
    Definition(
        "ppl_word",
        "Perplexity per word",
        "per word",
        "lower",
        "exp(nats of all items / number of words, one end of sentence each included), from the best bound"
        " measured. Comparable between models of the same sentences, whatever their vocabularies.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "ppl_token",
        "Perplexity per token",
        "per token",
        "lower",
        "exp(nats of all items / number of predicted tokens, end of sentence included). Comparable only "
        "between models with the same vocabulary: finer tokens make it smaller without a better model.",
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
        "bits_per_dimension",
        "Bits per dimension",
        "bits/value",
        "lower",
        "Mean of −log₂ p(x) over the number of an image's values (channels × height × width), from the best bound "
        "measured. x are 8-bit pixels, of which 8 bits per dimension is a uniform guess.",
        "Theis et al. 2016, A note on the evaluation of generative models",
        _GROUP,
        headline=True,
    ),
    Definition(
        "nll_floor",
        "Entropy floor",
        "nats/item",
        "neither",
        "Mean −log p(x) of these items under the world that made them. No honest bound can be better than"
        " its negative on average; one that is has seen the answers or counts wrongly.",
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
    parts = [items[i : i + SCORED_AT_ONCE] for i in range(0, len(items), SCORED_AT_ONCE)]
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
    if (floor := kind.entropy_floor(items, evaluation.data.world)) is not None:
        evaluation.record("nll_floor", floor)
    evaluation.note(importance_samples=options.samples)


# -- diagnosis --------------------------------------------------------------------------------------------------------


def below_the_floor(figures: Figures) -> Iterator[Finding]:
    floor = figures.get("nll_floor")
    bounds = {n: v for n, v in figures.items() if n.partition("/")[0] in ("elbo", "log_likelihood", "iw_bound")}
    if floor is None or not bounds:
        return
    best = max(bounds, key=bounds.__getitem__)
    if -bounds[best] < floor - max(0.1, 0.01 * floor):  # room for the noise of a finite sample
        yield Finding(
            "warning",
            f"The bound is impossible: {-bounds[best]:.2f} nats an item, below the data's entropy of {floor:.2f}.",
            {best: bounds[best], "nll_floor": floor},
            "The model saw what it should predict, or likelihood is counted wrongly: look for a leak past the "
            "causal mask, measured items that were trained on, a missing end. Trust no figure of this run.",
        )


def loose_bound(figures: Figures) -> Iterator[Finding]:
    few, many = figures.get(f"iw_bound/K={FEW}"), figures.get("iw_bound")
    samples = figures.facts.get("importance_samples", LikelihoodOptions().samples)
    if few is not None and many is not None and many - few > 2:  # nearly the ln 10 of one dominant sample
        yield Finding(
            "note",
            f"The likelihood bound has not settled: {samples} samples give {many - few:.1f} nats more than {FEW}.",
            evidence(figures, f"iw_bound/K={FEW}", "iw_bound"),
            "log p(x) lies well above it, so the perplexities are too high by an unknown amount: measure with "
            "more samples before comparing them with another model's.",
        )


EVALUATOR = Evaluator(
    name="likelihood",
    question="How probable is held-out data under the model?",
    measure=measure,
    measures=MEASURES,
    needs=(Scores,),
    items=tuple(ITEM_TYPES),
    options=LikelihoodOptions,
    rules=(below_the_floor, loose_bound),
)
