"""How text models are measured, part by part. Each part asks for the capability it needs and says whether it ran."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from genera.console import track
from genera.engine.capabilities import Decodes, Encodes, Samples, Scores, ScoresGiven
from genera.evaluation.evaluate import Evaluation
from genera.measures import latent, text
from genera.measures.estimate import Estimate, mean_estimate
from genera.measures.likelihood import ImportanceBound, per_token, per_word

SCORED_AT_ONCE = 50
FEW = 10
"""Samples of the smaller bound, whose distance from the larger shows whether that has settled."""
ANALOGIES_PER_PAIR = 10
SHOWN = 24
"""Examples kept for the report."""
MAPPED = 1000
"""Points of the latent map."""
POINTS = 11
"""Sentences of an interpolation: t = 0, 0.1, ..., 1."""


def likelihood(evaluation: Evaluation) -> bool:
    """ELBO and importance-weighted bounds, or the exact likelihood; perplexities per word and per token."""
    model, config = evaluation.run.method, evaluation.config
    if not isinstance(model, Scores):
        return False
    items = evaluation.items(config.likelihood_items)
    generator = evaluation.run.generator(config.seed)
    reconstruction, kl, tokens, few, bound = [], [], [], [], []
    for part in track(list(_parts(items, SCORED_AT_ONCE)), "scoring"):
        score = model.score(part, config.importance_samples, generator=generator)
        reconstruction.append(-score.log_likelihood.mean(0).cpu())
        tokens.append(score.lengths["tokens"].cpu())
        if score.kl is not None:
            kl.append(score.kl.double().cpu())
        streamed = ImportanceBound()
        streamed.add(score.log_weights[:FEW].cpu())
        few.append(streamed.value())
        streamed.add(score.log_weights[FEW:].cpu())
        bound.append(streamed.value())

    figures = evaluation.measures
    best = torch.cat(bound)
    if kl:
        figures["reconstruction"] = mean_estimate(torch.cat(reconstruction))
        figures["kl"] = mean_estimate(torch.cat(kl))
        figures["elbo"] = mean_estimate(-(torch.cat(reconstruction) + torch.cat(kl)))
        if config.importance_samples > FEW:
            figures[f"iw_bound_{FEW}"] = mean_estimate(torch.cat(few))
        figures["iw_bound"] = mean_estimate(best)
    else:
        figures["log_likelihood"] = mean_estimate(best)
    words = torch.tensor([len(item.split()) for item in items])
    figures["ppl_word"] = per_word(-best, words)
    figures["ppl_token"] = per_token(-best, torch.cat(tokens))
    if evaluation.data.world is not None:
        figures["nll_floor"] = text.entropy_floor(items, evaluation.data.world)
    return True


@torch.no_grad()
def latent_space(evaluation: Evaluation) -> bool:
    """KL per dimension, mutual information, active units, whether the decoder listens to z, and a map."""
    model, config, figures = evaluation.run.method, evaluation.config, evaluation.measures
    if not isinstance(model, Encodes):
        return False
    items = evaluation.items(config.items)
    posterior = evaluation.run.encode(items)
    mean, log_variance = posterior.mean, posterior.log_variance
    figures["latent_size"] = Estimate(model.latent_size, None, len(items))
    figures["au"] = Estimate(latent.active_units(mean), None, len(items))
    evaluation.extras["variance_per_dimension"] = latent.latent_variances(mean).tolist()
    if log_variance is not None:
        kl = latent.gaussian_kl(mean, log_variance)
        figures.setdefault("kl", mean_estimate(kl.sum(1).cpu()))
        evaluation.extras["kl_per_dimension"] = kl.mean(0).tolist()
        noise = torch.randn(mean.shape, generator=evaluation.run.generator(config.seed), device=mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        information = latent.mutual_information(mean, log_variance, z)
        figures["mi"] = Estimate(information, None, len(items))
        figures["mi_ceiling"] = Estimate(float(np.log(len(items))), None, len(items))
    else:
        z = mean
    if isinstance(model, ScoresGiven):
        lost = model.score_given(items, z) - model.score_given(items, z.roll(1, 0))
        figures["likelihood_lost_on_swap"] = mean_estimate(lost.cpu())
    evaluation.extras["latent_map"] = _map(evaluation, items[:MAPPED], mean[:MAPPED])
    return True


def _map(evaluation: Evaluation, items: list[str], mean: Tensor) -> dict[str, Any]:
    """Two principal components of the means, with everything by which the points can be coloured."""
    labels: dict[str, list[str]] = {"words": [str(len(item.split())) for item in items]}
    if (names := evaluation.data.labels(evaluation.config.split, len(items))) is not None:
        labels["label"] = names
    if (world := evaluation.data.world) is not None:
        facts = [world.factors_of(item) or {} for item in items]
        labels |= {factor: [known.get(factor, "?") for known in facts] for factor in world.factors}
    points = np.zeros((len(items), 2))
    if mean.std(0).any():  # else all items lie on one point
        two = min(2, *mean.shape)
        points[:, :two] = PCA(two, random_state=0).fit_transform(mean.double().cpu().numpy())
    return {"method": "PCA", "points": points.round(3).tolist(), "texts": items, "labels": labels}


@torch.no_grad()
def reconstruction(evaluation: Evaluation) -> bool:
    """Greedy decoding of each item's posterior mean, against the item."""
    model, figures, world = evaluation.run.method, evaluation.measures, evaluation.data.world
    if not (isinstance(model, Encodes) and isinstance(model, Decodes)):
        return False
    items = evaluation.items(evaluation.config.items)
    outputs = list(_in_parts(evaluation, evaluation.run.reconstruct, items, "reconstructing"))
    figures["exact_reconstruction"] = text.exact_match(outputs, items)
    figures["bleu_reconstruction"] = Estimate(text.corpus_bleu(outputs, items), None, len(items))
    if world is not None:
        accuracy = text.factor_accuracy(outputs, items, world)
        figures["factor_accuracy_reconstruction"] = _mean(accuracy)
        _factors(evaluation, "reconstruction", accuracy)
        _factors(evaluation, "chance", text.factor_chance(items, world))
    shown = zip(items[:SHOWN], outputs, strict=False)
    evaluation.examples["reconstructions"] = [
        {"input": a, "output": b, "exact": text.normalised(a) == text.normalised(b)} for a, b in shown
    ]
    if isinstance(model, ScoresGiven):
        nats = -model.score_given(items, evaluation.run.encode(items).mean).cpu().numpy()
        evaluation.extras["lengths"] = _by_length(items, outputs, nats)
    return True


def _by_length(items: list[str], outputs: list[str], nats: np.ndarray, bins: int = 6) -> dict[str, list[float]]:
    """Error of the mean's decoding over bins of equally many items, by their words."""
    words = np.array([len(item.split()) for item in items])
    exact = np.array([text.normalised(a) == text.normalised(b) for a, b in zip(items, outputs, strict=True)])
    edges = np.unique(np.quantile(words, np.linspace(0, 1, bins + 1)[1:-1], method="higher"))
    groups = np.searchsorted(edges, words, side="right")
    kept = [groups == g for g in np.unique(groups)]
    return {
        "words": [float(words[g].mean()) for g in kept],
        "reconstruction_nats": [float(nats[g].mean()) for g in kept],
        "exact": [float(exact[g].mean()) for g in kept],
    }


def samples(evaluation: Evaluation) -> bool:
    """Draws from the model, against the training set and the truth of the world."""
    model, figures, config = evaluation.run.method, evaluation.measures, evaluation.config
    if not isinstance(model, Samples):
        return False
    drawn = evaluation.run.sample(config.prior_samples, seed=config.seed, max_tokens=_longest(evaluation))
    count = len(drawn)
    if evaluation.data.world is not None:
        figures["grammatical_samples"] = text.grammatical(drawn, evaluation.data.world)
    figures["novel"] = text.novel(drawn, _stream(evaluation.data))
    figures["distinct_samples"] = Estimate(len({text.normalised(s) for s in drawn}) / count, None, count)
    figures["distinct_1"] = Estimate(text.distinct(drawn, 1), None, count)
    figures["distinct_2"] = Estimate(text.distinct(drawn, 2), None, count)
    if count > 1:
        figures["self_bleu"] = text.self_bleu(drawn)
    coverage = text.vocabulary_coverage(drawn, evaluation.items(config.items))
    figures["vocabulary_coverage"] = Estimate(coverage, None, count)
    evaluation.examples["samples"] = drawn[:SHOWN]
    return True


def _stream(data: Any, chunk: int = 10_000) -> Iterator[str]:
    for first in range(0, data.size("train"), chunk):
        yield from data.train.texts(slice(first, first + chunk))


def interpolation(evaluation: Evaluation) -> bool:
    """Straight paths between pairs of items: do the sentences on the way make sense and progress?"""
    model, figures, world = evaluation.run.method, evaluation.measures, evaluation.data.world
    items = evaluation.items(2 * evaluation.config.pairs)
    if not (isinstance(model, Encodes) and isinstance(model, Decodes)) or len(items) < 2:
        return False
    pairs = list(zip(items[0::2], items[1::2], strict=False))
    mean = evaluation.run.encode([item for pair in pairs for item in pair]).mean.view(len(pairs), 2, -1)
    t = torch.linspace(0, 1, POINTS, device=mean.device)[None, :, None]
    z = (1 - t) * mean[:, :1] + t * mean[:, 1:]
    flat = list(_in_parts(evaluation, evaluation.run.decode, z.flatten(0, 1), "interpolating"))
    paths = [flat[i : i + POINTS] for i in range(0, len(flat), POINTS)]
    if world is not None:
        figures["grammatical_interpolations"] = text.grammatical(flat, world)
    steps = [text.monotone_steps(path, a, b) for path, (a, b) in zip(paths, pairs, strict=True)]
    figures["monotone_interpolations"] = mean_estimate(steps)
    figures["distinct_interpolations"] = mean_estimate([text.distinct_on_path(path) for path in paths])
    shown = zip(pairs[: SHOWN // 3], paths, strict=False)
    evaluation.examples["interpolations"] = [{"start": a, "end": b, "path": path} for (a, b), path in shown]
    return True


def analogy(evaluation: Evaluation) -> bool:
    """A : B :: C : ? with one factor changed, where the world knows the answer; without a world, for the eye alone."""
    model, figures, config = evaluation.run.method, evaluation.measures, evaluation.config
    if not (isinstance(model, Encodes) and isinstance(model, Decodes)):
        return False
    world = evaluation.data.world
    if world is None:
        items = evaluation.items(3 * SHOWN)
        triples = [items[i : i + 3] for i in range(0, len(items) - 2, 3)]
        answers, changed = [], []
    else:
        asked = world.analogies(ANALOGIES_PER_PAIR * config.pairs, seed=config.seed, split=config.split)
        triples = [[q.a, q.b, q.c] for q in asked]
        answers, changed = [q.answer for q in asked], [q.factor for q in asked]
    if not triples:
        return False
    a, b, c = (
        evaluation.run.encode([item for triple in triples for item in triple]).mean.view(len(triples), 3, -1).unbind(1)
    )
    outputs = list(_in_parts(evaluation, evaluation.run.decode, c + b - a, "analogies"))
    if world is not None:
        accuracy = text.analogy_accuracy(outputs, answers, changed, world)
        figures["analogy_exact"] = text.exact_match(outputs, answers)
        figures["factor_accuracy_analogy"] = _mean(accuracy)
        _factors(evaluation, "analogy", accuracy)
        _factors(evaluation, "analogy_chance", text.analogy_chance(answers, changed, world))
    rows = zip_longest(triples, outputs, answers, changed)
    evaluation.examples["analogies"] = [
        {
            **dict(zip("abc", triple, strict=True)),
            "expected": answer,
            "output": output,
            "correct": None if answer is None else text.normalised(answer) == text.normalised(output),
            "factor": factor,
        }
        for triple, output, answer, factor in islice(rows, SHOWN)
    ]
    return True


PARTS: dict[str, Callable[[Evaluation], bool]] = {
    "likelihood": likelihood,
    "latent": latent_space,
    "reconstruction": reconstruction,
    "samples": samples,
    "interpolation": interpolation,
    "analogy": analogy,
}


def _mean(accuracy: dict[str, Estimate]) -> Estimate:
    """The unweighted mean over factors."""
    return Estimate(float(np.mean([e.value for e in accuracy.values()])), None, sum(e.n for e in accuracy.values()))


def _factors(evaluation: Evaluation, column: str, accuracy: Mapping[str, Estimate | float]) -> None:
    table = evaluation.extras.setdefault("factors", {})
    for name, share in accuracy.items():
        table.setdefault(name, {})[column] = round(share.value if isinstance(share, Estimate) else share, 4)


def _parts(items: Sequence[Any], size: int) -> Iterator[Any]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _longest(evaluation: Evaluation) -> int:
    """Tokens that an output may have: those that a training text could have."""
    return evaluation.run.config.data.max_tokens


def _in_parts(
    evaluation: Evaluation, use: Callable[..., list[str]], items: Any, what: str, size: int = 256
) -> Iterable[str]:
    for part in track(list(_parts(items, size)), what):
        yield from use(part, max_tokens=_longest(evaluation))
