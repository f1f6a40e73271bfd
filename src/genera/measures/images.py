"""Measures of generated images from their features (N, D): KID, inception score, precision and recall, density and
coverage, per-class FID, copies of training images. FID is in `genera.measures.frechet`.

Features come from any network (`genera.measures.features`); values for different features are not comparable.
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
"""Images per subset in the form that most papers report."""
PASSES = 8
"""Factor by which row blocks are smaller than memory requires, so that most of a symmetric half is skipped."""


def kids(features: Tensor, reference: Tensor, *, generator: Generator | None = None) -> dict[str, Estimate]:
    """{"kid", "kid_blocks", "kid_subsets"}: all three forms. A subset has 1000 images, or half of the images if there
    are fewer than 2000, since subsets of nearly all images would hardly differ."""
    half = min(_both(features, reference)) // 2
    estimates = {"kid": kid(features, reference), "kid_blocks": kid_blocks(features, reference)}
    if half > 1:
        estimates["kid_subsets"] = kid_subsets(features, reference, min(SUBSET, half), generator=generator)
    return estimates


def kid(features: Tensor, reference: Tensor) -> Estimate:
    """Unbiased squared MMD with the kernel (x·y/D + 1)³ over all pairs (Bińkowski et al. 2018); may be below 0."""
    n, m = _both(features, reference)
    x, y = features.double(), reference.double()
    all_x, all_y = torch.ones(1, n).to(x), torch.ones(1, m).to(y)
    within_x, within_y = _kernel_sums(x, x, all_x, all_x, True), _kernel_sums(y, y, all_y, all_y, True)
    between = _kernel_sums(x, y, all_x, all_y, False)
    return Estimate(float(within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)), None, n)


def _kernel_sums(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor, same: bool) -> Tensor:
    """Σ k(x, y) over the pairs of each of S subsets (S,), without pairs of a row with itself if x and y are the same.
    The kernel of each pair is computed once for all subsets. of_x: (S, N), 1 where a row belongs to the subset."""
    total = torch.zeros(len(of_x)).to(x)
    for rows in slices(len(x), PASSES * len(y)):
        first = rows.start if same else 0  # k is symmetric: skip what is below the diagonal
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
    do not fill a block are dropped."""
    count = min(_both(features, reference))
    block = min(block, count)
    blocks = count // block
    x, y = (f[: blocks * block].double().view(blocks, block, -1) for f in (features, reference))
    values = torch.cat([_mmd_of_blocks(x[rows], y[rows]) for rows in slices(blocks, 3 * block * block)])
    return Estimate(float(values.mean()), mean_estimate(values.cpu()).error, blocks * block)


def kid_subsets(
    features: Tensor, reference: Tensor, size: int = SUBSET, subsets: int = 100, *, generator: Generator | None = None
) -> Estimate:
    """Mean over random subsets of `size` images, the form that most papers report. As in those, the error is the
    standard deviation over the overlapping subsets. Raises GeneraError when a subset has more images than there
    are."""
    n, m = _both(features, reference)
    if not 2 <= size <= min(n, m):
        raise GeneraError(f"KID over subsets of {size} images needs at least as many of each kind, got {n} and {m}.")
    wide = features.shape[1]
    x, y = features.double(), reference.double()
    drawn = [torch.randperm(count, generator=generator)[:size] for _ in range(subsets) for count in (n, m)]
    in_x, in_y = torch.stack(drawn).view(subsets, 2, size).to(x.device).unbind(1)
    if subsets * size**2 * wide < n * m * (wide + subsets):  # few pairs are repeated
        values = torch.cat(
            [_mmd_of_blocks(x[rows][None], y[others][None]) for rows, others in zip(in_x, in_y, strict=True)]
        )
    else:
        of_x, of_y = (torch.zeros(subsets, len(f)).to(f).scatter_(1, rows, 1) for f, rows in ((x, in_x), (y, in_y)))
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
    """ "KID x 100" in the tables of U-GAT-IT, by the last version of their tool: 100 (0.02 KID(fake, target) +
    0.98 KID(fake, source)) / 2 over blocks of 10. It is mostly the distance from the *source*; compare it only with
    those tables."""
    return _mixed(features, target, source, 0.02, 0.98, block)


def kid_u_gat_it_early(features: Tensor, target: Tensor, source: Tensor, block: int = 10) -> Estimate:
    """The same by the earlier version of the tool: 100 (KID(fake, target) + KID(fake, source)) / 2."""
    return _mixed(features, target, source, 1.0, 1.0, block)


def _mixed(features: Tensor, target: Tensor, source: Tensor, a: float, b: float, block: int) -> Estimate:
    one, other = kid_blocks(features, target, block), kid_blocks(features, source, block)
    errors = [None if e.error is None else 50 * w * e.error for w, e in ((a, one), (b, other))]
    error = None if errors[0] is None or errors[1] is None else (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    return Estimate(50 * (a * one.value + b * other.value), error, one.n)


# Inception score


def inception_score(logits: Tensor, splits: int = 10) -> Estimate:
    """exp E KL(p(y|x) ‖ p(y)) of a classifier's logits (N, classes), mean over `splits` parts with its standard error
    (Salimans et al. 2016). Between 1 and the number of classes; ignores variety within a class."""
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
    """{"precision", "recall", "density", "coverage"} over balls whose radius is the distance of each point to its k-th
    neighbour of the same kind.

    precision: share of generated images inside some real image's ball; recall: share of real images inside some
    generated image's ball (Kynkäänniemi et al. 2019, k = 3). density: number of real balls around a generated image,
    over k; coverage: share of real images whose ball contains a generated one (Naeem et al. 2020, k = 5). All four
    depend on the numbers of images, which are usually equal. Never stores N x M.
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
    per_image = {"precision": precise, "recall": recalled, "density": dense, "coverage": covered}
    return {name: mean_estimate(values.cpu()) for name, values in per_image.items()}


def intra_class_fid(
    features: Tensor, labels: Tensor, reference: Tensor, reference_labels: Tensor
) -> tuple[Estimate, Mapping[int, float]]:
    """FID within each class, and its mean over the classes with the spread between them. Classes with fewer than
    two images on either side are skipped. Raises GeneraError if none is left."""
    values = {}
    for label in reference_labels.unique().tolist():
        fake, real = features[labels == label], reference[reference_labels == label]
        if min(len(fake), len(real)) >= 2:
            values[label] = frechet_distance(Moments(fake), Moments(real))
    if not values:
        raise GeneraError("FID within classes needs a class with at least two generated and two real images.")
    estimate = mean_estimate(list(values.values()))
    return Estimate(estimate.value, estimate.error, len(features)), values


# Memorisation


def copies(features: Tensor, training: Tensor) -> tuple[Estimate, Tensor, Tensor]:
    """The share of images that are nearer to their nearest training image than that image is to any other training
    image (authenticity, Alaa et al. 2022), the distances to the nearest (N,), and its index in `training` (N,).

    Some new images of the same distribution are also that near: compare with the share for held-out real images.
    """
    distances, places = nearest(features, training)
    distances, places = distances[:, 0], places[:, 0]
    asked, back = places.unique(return_inverse=True)
    # The two nearest: the point itself, and its neighbour (or its twin at distance 0).
    spacing = nearest(training[asked], training, 2)[0][:, 1]
    return mean_estimate((distances < spacing[back]).cpu()), distances, places


def _both(features: Tensor, reference: Tensor) -> tuple[int, int]:
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        shapes = f"{tuple(features.shape)} and {tuple(reference.shape)}"
        raise GeneraError(f"features must be two tables (items, dimensions) of one network, got {shapes}.")
    if min(len(features), len(reference)) < 2:
        raise GeneraError(f"at least 2 images of each kind are needed, got {len(features)} and {len(reference)}.")
    if not torch.isfinite(features.sum() + reference.sum()):
        raise GeneraError("some features are not finite (NaN or infinite); check the images and the extractor.")
    return len(features), len(reference)
