"""Measures of generated images from their features (N, D): KID, inception score, precision and recall, density and
coverage, per-class FID, copies of training images. FID itself stands in `genera.measures.frechet`.

Features come from any network (`genera.measures.features`); figures of different features cannot be compared.
"""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import log_softmax

from genera.errors import GeneraError
from genera.measures.estimate import mean_estimate
from genera.measures.frechet import Moments, frechet_distance
from genera.measures.neighbours import distance_blocks, nearest, slices
from genera.measures.schema import Estimate

# Kernel inception distance

SUBSET = 1000
"""Images of a subset, in the form that most papers report."""
PASSES = 8
"""Blocks of rows are so many times smaller than memory asks for, so that most of a symmetric half is left out."""


def kids(features: Tensor, reference: Tensor, *, generator: Generator | None = None) -> dict[str, Estimate]:
    """{"kid", "kid_blocks", "kid_subsets"}: all three forms. Subsets are of 1000 images, or of half of the images where
    there are fewer than 2000: of nearly all of them, they would hardly differ."""
    half = min(_both(features, reference)) // 2
    found = {"kid": kid(features, reference), "kid_blocks": kid_blocks(features, reference)}
    if half > 1:
        found["kid_subsets"] = kid_subsets(features, reference, min(SUBSET, half), generator=generator)
    return found


def kid(features: Tensor, reference: Tensor) -> Estimate:
    """Unbiased squared MMD with the kernel (x·y/D + 1)³ over all pairs (Bińkowski et al. 2018); may fall below 0."""
    n, m = _both(features, reference)
    x, y = features.double(), reference.double()
    all_x, all_y = torch.ones(1, n).to(x), torch.ones(1, m).to(y)
    within_x, within_y = _kernel_sums(x, x, all_x, all_x, True), _kernel_sums(y, y, all_y, all_y, True)
    between = _kernel_sums(x, y, all_x, all_y, False)
    return Estimate(float(within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)), None, n)


def _kernel_sums(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor, same: bool) -> Tensor:
    """Σ k(x, y) over the pairs of each of S subsets (S,), without those of a row with itself where x and y are the
    same. The kernel of a pair is taken once for all subsets. of_x: (S, N), 1 where a row belongs to the subset."""
    total = torch.zeros(len(of_x)).to(x)
    for rows in slices(len(x), PASSES * len(y)):
        first = rows.start if same else 0  # k is symmetric: below the diagonal it is what it is above
        weights = of_y[:, first:].clone()
        if same:
            weights[:, rows.stop - rows.start :] *= 2
        kernel = _kernel(x[rows] @ y[first:].T, x.shape[1])
        total += ((kernel @ weights.T) * of_x[:, rows].T).sum(0)
    return total - of_x @ _kernel(x.square().sum(1), x.shape[1]) if same else total


def _kernel(products: Tensor, size: int) -> Tensor:
    return (products / size + 1).pow(3)


def kid_blocks(features: Tensor, reference: Tensor, block: int = 100) -> Estimate:
    """Mean over disjoint blocks of `block` images each, with its standard error: the block form. The last images that
    fill no block are left out."""
    count = min(_both(features, reference))
    block = min(block, count)
    blocks = count // block
    x, y = (f[: blocks * block].double().view(blocks, block, -1) for f in (features, reference))
    values = torch.cat([_mmd_of_blocks(x[rows], y[rows]) for rows in slices(blocks, 3 * block * block)])
    return Estimate(float(values.mean()), mean_estimate(values.cpu()).error, blocks * block)


def kid_subsets(
    features: Tensor, reference: Tensor, size: int = SUBSET, subsets: int = 100, *, generator: Generator | None = None
) -> Estimate:
    """Mean over random subsets of `size` images, the form that most papers report; the error given with it is, as in
    those, the standard deviation over the subsets, which overlap. Raises GeneraError for subsets of more images than
    there are."""
    n, m = _both(features, reference)
    if not 2 <= size <= min(n, m):
        raise GeneraError(f"KID over subsets of {size} images needs as many of each kind, got {n} and {m}.")
    wide = features.shape[1]
    x, y = features.double(), reference.double()
    drawn = [torch.randperm(count, generator=generator)[:size] for _ in range(subsets) for count in (n, m)]
    in_x, in_y = torch.stack(drawn).view(subsets, 2, size).to(x.device).unbind(1)
    if subsets * size**2 * wide < n * m * (wide + subsets):  # few pairs come twice
        values = torch.cat(
            [_mmd_of_blocks(x[own][None], y[other][None]) for own, other in zip(in_x, in_y, strict=True)]
        )
    else:
        of_x, of_y = (torch.zeros(subsets, len(f)).to(f).scatter_(1, own, 1) for f, own in ((x, in_x), (y, in_y)))
        within = _kernel_sums(x, x, of_x, of_x, True) + _kernel_sums(y, y, of_y, of_y, True)
        values = within / (size * (size - 1)) - 2 * _kernel_sums(x, y, of_x, of_y, False) / size**2
    return Estimate(float(values.mean()), float(values.std()) if subsets > 1 else None, n)


def _mmd_of_blocks(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared MMD of each block: (blocks, n, D) twice → (blocks,)."""
    n, size = x.shape[1:]
    within = sum(
        (_kernel(z @ z.mT, size).sum((1, 2)) - _kernel(z.square().sum(2), size).sum(1)) / (n * (n - 1)) for z in (x, y)
    )
    return within - 2 * _kernel(x @ y.mT, size).mean((1, 2))


def kid_u_gat_it(features: Tensor, target: Tensor, source: Tensor, block: int = 10) -> Estimate:
    """What the tables of U-GAT-IT call KID x 100, by the last version of their tool: 100 (0.02 KID(fake, target) +
    0.98 KID(fake, source)) / 2 over blocks of 10. It is mostly the distance from the *source*: compare it with those
    tables alone."""
    return _mixed(features, target, source, 0.02, 0.98, block)


def kid_u_gat_it_early(features: Tensor, target: Tensor, source: Tensor, block: int = 10) -> Estimate:
    """The same by the tool's earlier version: 100 (KID(fake, target) + KID(fake, source)) / 2."""
    return _mixed(features, target, source, 1.0, 1.0, block)


def _mixed(features: Tensor, target: Tensor, source: Tensor, a: float, b: float, block: int) -> Estimate:
    one, other = kid_blocks(features, target, block), kid_blocks(features, source, block)
    errors = [None if e.error is None else 50 * w * e.error for w, e in ((a, one), (b, other))]
    error = None if errors[0] is None or errors[1] is None else (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    return Estimate(50 * (a * one.value + b * other.value), error, one.n)


# Inception score


def inception_score(logits: Tensor, splits: int = 10) -> Estimate:
    """exp E KL(p(y|x) ‖ p(y)) of a classifier's logits (N, classes), mean over `splits` parts with its standard error
    (Salimans et al. 2016). Between 1 and the number of classes; says nothing of variety within a class."""
    if logits.ndim != 2 or len(logits) < splits:
        raise GeneraError(f"an inception score over {splits} parts needs as many images, got {tuple(logits.shape)}.")
    scores = []
    for part in log_softmax(logits.double(), 1).tensor_split(splits):
        marginal = part.logsumexp(0) - torch.tensor(len(part), device=part.device).log()
        scores.append((part.exp() * (part - marginal)).sum(1).mean().exp())
    estimate = mean_estimate(torch.stack(scores).cpu())
    return Estimate(estimate.value, estimate.error, len(logits))


# Fidelity and variety


def precision_recall_density_coverage(
    features: Tensor, reference: Tensor, k: int = 3, density_k: int = 5
) -> dict[str, Estimate]:
    """{"precision", "recall", "density", "coverage"} over balls that reach to each point's k-th neighbour of its own
    kind.

    precision: share of generated images inside some real image's ball; recall: share of real images inside some
    generated image's ball (Kynkäänniemi et al. 2019, k = 3). density: real balls that a generated image lies in, over
    k; coverage: share of real images whose ball holds a generated one (Naeem et al. 2020, k = 5). Equal numbers of
    both kinds are usual; all four depend on them. Never holds N x M.
    """
    n, m = _both(features, reference)
    most = max(k, density_k)
    real = nearest(reference, reference, most, same=True)[0]
    fake = nearest(features, features, k, same=True)[0][:, k - 1]
    precise = torch.zeros(n, dtype=torch.bool, device=features.device)
    dense = torch.zeros(n, device=features.device)
    recalled, covered = (torch.zeros(m, dtype=torch.bool, device=features.device) for _ in range(2))
    for rows, distances in distance_blocks(features, reference):
        precise[rows] = (distances < real[:, k - 1]).any(1)
        inside = distances < real[:, density_k - 1]
        dense[rows] = inside.sum(1) / density_k
        covered |= inside.any(0)
        recalled |= (distances < fake[rows, None]).any(0)
    found = {"precision": precise, "recall": recalled, "density": dense, "coverage": covered}
    return {name: mean_estimate(values.cpu()) for name, values in found.items()}


def intra_class_fid(
    features: Tensor, labels: Tensor, reference: Tensor, reference_labels: Tensor
) -> tuple[Estimate, Mapping[int, float]]:
    """FID within each class, and its mean over the classes with the spread between them. Classes of fewer than two
    images on either side are left out; an image of each class on both sides is needed for at least one."""
    values = {}
    for label in reference_labels.unique().tolist():
        own, others = features[labels == label], reference[reference_labels == label]
        if min(len(own), len(others)) >= 2:
            values[label] = frechet_distance(Moments(own), Moments(others))
    if not values:
        raise GeneraError("no class has two generated and two real images, so there is no FID within classes.")
    estimate = mean_estimate(list(values.values()))
    return Estimate(estimate.value, estimate.error, len(features)), values


# Memorisation


def copies(features: Tensor, training: Tensor) -> tuple[Estimate, Tensor, Tensor]:
    """How many images lie nearer to a training image than that one's own nearest training image does (authenticity,
    Alaa et al. 2022): their share, distances to the nearest (N,), and places of the nearest in `training` (N,).

    Fresh images of the same distribution do so too: compare with the share of held-out real images.
    """
    distances, places = nearest(features, training)
    distances, places = distances[:, 0], places[:, 0]
    asked, back = places.unique(return_inverse=True)
    # The two nearest: the point itself, and its neighbour (or its twin at distance 0).
    own = nearest(training[asked], training, 2)[0][:, 1]
    return mean_estimate((distances < own[back]).cpu()), distances, places


def _both(features: Tensor, reference: Tensor) -> tuple[int, int]:
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        shapes = f"{tuple(features.shape)} and {tuple(reference.shape)}"
        raise GeneraError(f"features must be two tables (items, dimensions) of one network, got {shapes}.")
    if min(len(features), len(reference)) < 2:
        raise GeneraError(f"at least 2 images of each kind are needed, got {len(features)} and {len(reference)}.")
    if not torch.isfinite(features.sum() + reference.sum()):
        raise GeneraError("some features are not finite (NaN or infinite); look at the images or their extractor.")
    return len(features), len(reference)
