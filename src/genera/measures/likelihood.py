"""Likelihood bounds and perplexities. Nats throughout; B items, K importance samples."""

import math

import torch
from torch import Tensor

from genera.errors import GeneraError
from genera.measures.schema import Estimate


class ImportanceBound:
    """log p̂_K(x) = log 1/K Σ_k w_k with w_k = p(x|z_k) p(z_k) / q(z_k|x) (Burda et al. 2016), in float64.

    Log-weights can be added in pieces of any size and the bound read at any time, so one pass gives several K. Its
    expectation never falls with K and never exceeds log p(x); K = 1 is the ELBO.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._log_sum: Tensor | None = None

    def add(self, log_weights: Tensor) -> None:
        """log_weights: (k, B), log w of k further samples of the same B items."""
        if log_weights.ndim != 2 or (self._log_sum is not None and log_weights.shape[1:] != self._log_sum.shape):
            wanted = "" if self._log_sum is None else f" with {len(self._log_sum)} items"
            shape = tuple(log_weights.shape)
            raise GeneraError(f"log-weights must have the shape (samples, items){wanted}, got {shape}.")
        if len(log_weights) == 0:
            return
        piece = torch.logsumexp(log_weights.double(), 0)
        self._log_sum = piece if self._log_sum is None else torch.logaddexp(self._log_sum, piece)
        self.samples += len(log_weights)

    def value(self) -> Tensor:
        """(B,) float64: the bound on log p(x) with the samples added so far; raises GeneraError without samples."""
        if self._log_sum is None:
            raise GeneraError("an importance-weighted bound needs at least one sample (K ≥ 1).")
        return self._log_sum - math.log(self.samples)


def perplexity(nats_total: float, units_total: float) -> float:
    """exp(nats / units) for a total negative log-likelihood; inf on overflow."""
    if units_total <= 0:
        raise GeneraError(f"a perplexity needs at least one unit to divide by, got {units_total}.")
    try:
        return math.exp(nats_total / units_total)
    except OverflowError:
        return math.inf


def per_word(nats: Tensor, words: Tensor) -> Estimate:
    """Perplexity per word. nats: (B,) negative log-likelihoods; words: (B,) counts without the EOS."""
    return _per_unit(nats, words + 1)


def per_token(nats: Tensor, tokens: Tensor) -> Estimate:
    """Perplexity per token of one vocabulary. tokens: (B,) counts: with EOS (the predicted tokens), or with BOS and EOS
    (as the published tables of Optimus)."""
    return _per_unit(nats, tokens)


def bits_per_byte(nats: Tensor, sizes: Tensor) -> Estimate:
    """Σ nats / (ln 2 · Σ bytes). sizes: (B,) bytes of the texts, ends of lines included."""
    nats, sizes = nats.double(), sizes.double()
    value = (nats.sum() / sizes.sum()).item()
    if len(nats) < 2:
        return Estimate(value / math.log(2), None, len(nats))
    error = (nats - value * sizes).std().item() / (math.sqrt(len(nats)) * sizes.mean().item())
    return Estimate(value / math.log(2), error / math.log(2), len(nats))


def _per_unit(nats: Tensor, units: Tensor) -> Estimate:
    nats, units = nats.double(), units.double()
    value = perplexity(nats.sum().item(), units.sum().item())
    if len(nats) < 2 or not math.isfinite(value):
        return Estimate(value, None, len(nats))
    # Delta method: the standard error of the ratio Σ nats / Σ units, carried through exp.
    residual = nats - math.log(value) * units if value > 0 else nats
    error = value * residual.std().item() / (math.sqrt(len(nats)) * units.mean().item())
    return Estimate(value, error, len(nats))
