"""Measures of a text VAE as batches of matrix products, against the loops that define them.

    python -m benchmarks.text_measures

The importance-weighted bound at K = 100 against one sentence and one sample at a time; mutual information over 10,000
sentences against a loop over all pairs and against one row at a time (first rows are timed, and scaled to all).
Each pair computes the same value, which is asserted. One thread, CPU time (other processes then count less); the ratio
is the median over the rounds.
"""

import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import genera
from genera.console import console
from genera.measures.latent import mutual_information
from genera.measures.likelihood import ImportanceBound
from genera.methods.optimus.method import Optimus

SENTENCES, SAMPLES, ROUNDS = 16, 100, 3
ITEMS, LATENT, PAIRED_ROWS, SINGLE_ROWS, CHECKED = 10_000, 32, 10, 200, 200


def seconds(action: Callable[[], object]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


def compare(name: str, slow: Callable[[], object], fast: Callable[[], object], scale: float = 1.0) -> None:
    """Print both times and their ratio; `slow` is a part whose time is multiplied by `scale`."""
    pairs = [(scale * seconds(slow), seconds(fast)) for _ in range(ROUNDS)]
    peer, own = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:<56}{peer:>10.2f}{own:>10.3f}{statistics.median(a / b for a, b in pairs):>9.0f}", flush=True)


def bound(method: Optimus, texts: list[str]) -> Tensor:
    found = ImportanceBound()
    found.add(method.score(texts, SAMPLES, generator=torch.Generator().manual_seed(0)).log_weights)
    return found.value()


@torch.no_grad()
def bound_by_loop(method: Optimus, texts: list[str]) -> Tensor:
    """One sentence, one sample at a time, with the noise that `bound` draws."""
    noise = torch.randn(SAMPLES, len(texts), method.latent_size, generator=torch.Generator().manual_seed(0))
    bounds = []
    for i, text in enumerate(texts):
        (batch,) = method._batches([text])
        weights = []
        for k in range(SAMPLES):
            mean, log_variance = method.network.encode(batch.encoder)
            z = mean + (0.5 * log_variance).exp() * noise[k, i]
            log_likelihood = method.network.log_likelihood(batch.decoder, z)
            log_prior = -0.5 * z.square().sum(1)
            log_posterior = -0.5 * (log_variance + noise[k, i].square()).sum(1)
            weights.append(log_likelihood + log_prior - log_posterior)
        bounds.append(torch.cat(weights).double().logsumexp(0) - math.log(SAMPLES))
    return torch.stack(bounds)


def aggregated_by_pairs(mean: NDArray, log_variance: NDArray, z: NDArray, rows: int) -> list[float]:
    """log 1/M Σ_j q(z_i|x_j) of the first rows i, pair by pair, up to the constant that cancels."""
    variance, found = np.exp(log_variance), []
    for i in range(rows):
        log_q = []
        for j in range(len(mean)):
            log_q.append(-0.5 * ((z[i] - mean[j]) ** 2 / variance[j] + log_variance[j]).sum())
        found.append(float(np.logaddexp.reduce(log_q)) - math.log(len(mean)))
    return found


def aggregated_by_rows(mean: Tensor, log_variance: Tensor, z: Tensor, rows: int) -> Tensor:
    """The same, a row at a time."""
    variance = log_variance.exp()
    found = [(-0.5 * ((z[i] - mean).square() / variance + log_variance).sum(1)).logsumexp(0) for i in range(rows)]
    return torch.stack(found) - math.log(len(mean))


def main() -> None:
    console.quiet = True
    torch.set_num_threads(1)
    config = genera.configure("optimus:nano", data="world:captions-small")
    data = Optimus.dataset.open(config.data)
    torch.manual_seed(0)
    method = Optimus(config.model, data.assets).eval()
    texts = data.items("valid", SENTENCES)
    torch.testing.assert_close(bound_by_loop(method, texts), bound(method, texts), rtol=1e-5, atol=1e-3)

    mean, noise = (torch.randn(ITEMS, LATENT, dtype=torch.float64) for _ in range(2))
    log_variance = torch.randn(ITEMS, LATENT, dtype=torch.float64) - 1
    z = mean + (0.5 * log_variance).exp() * noise
    part = [t[:CHECKED] for t in (mean, log_variance, z)]
    own = -0.5 * ((part[2] - part[0]).square() / part[1].exp() + part[1]).sum(1)
    pairs = torch.tensor(aggregated_by_pairs(*(t.numpy() for t in part), rows=CHECKED), dtype=torch.float64)
    for aggregated in (pairs, aggregated_by_rows(*part, rows=CHECKED)):
        assert abs((own - aggregated).mean().item() - mutual_information(*part)) < 1e-9, "both compute the same"

    print(f"{'what':<56}{'loop s':>10}{'genera s':>10}{'ratio':>9}")
    compare(
        f"bound, K = {SAMPLES}, {SENTENCES} sentences: sample by sample",
        lambda: bound_by_loop(method, texts),
        lambda: bound(method, texts),
    )
    arrays = [t.numpy() for t in (mean, log_variance, z)]
    compare(
        f"mutual information, M = {ITEMS:,}: pair by pair (scaled)",
        lambda: aggregated_by_pairs(*arrays, rows=PAIRED_ROWS),
        lambda: mutual_information(mean, log_variance, z),
        scale=ITEMS / PAIRED_ROWS,
    )
    compare(
        f"mutual information, M = {ITEMS:,}: row by row (scaled)",
        lambda: aggregated_by_rows(mean, log_variance, z, SINGLE_ROWS),
        lambda: mutual_information(mean, log_variance, z),
        scale=ITEMS / SINGLE_ROWS,
    )


if __name__ == "__main__":
    main()
