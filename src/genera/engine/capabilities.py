"""What a trained model may be able to do. Uses and measures ask for these, never for a method's name.

Items are plain data (a sentence is a `str`, an image a tensor), so callers need not know how a method encodes them. A
method class has a capability if it has the capability's members; nothing is registered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:  # lists and help name capabilities without importing torch
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor

    from genera.engine.config import RunConfig
    from genera.engine.origin import Origin
    from genera.navigation.dataset import NavigationData
    from genera.navigation.episodes import EpisodeTable


@dataclass
class Posterior:
    """q(z|x) of B items: a diagonal Gaussian, or a point where `log_variance` is None."""

    mean: Tensor
    """(B, P)"""
    log_variance: Tensor | None = None
    """(B, P), natural log"""


@dataclass
class Score:
    """Likelihood terms of B items under K importance samples, in nats. An exact likelihood has K = 1."""

    log_weights: Tensor
    """(K, B) float64: log p(x|z_k) + log p(z_k) - log q(z_k|x), or log p(x)"""
    log_likelihood: Tensor
    """(K, B) float64: log p(x|z_k), or log p(x)"""
    kl: Tensor | None = None
    """(B,) analytic KL(q(z|x) || p(z)), unthresholded; None without a latent"""
    lengths: dict[str, Tensor] = field(default_factory=dict)
    """(B,) counts to normalise by, under their names: {"tokens": predicted decoder tokens incl. EOS}"""


@dataclass
class LastWords:
    """How well the last word of each of B texts is predicted, given the words before it."""

    right: Tensor
    """(B,) bool: whether greedy decoding gives the word, all its tokens"""
    nats: Tensor
    """(B,) float64: −log p(word | words before)"""


@dataclass
class Walk:
    """Trajectories of E episodes through a navigation graph."""

    paths: NDArray[np.int64]
    """(E, T) adjacent nodes from the start on, padded with -1"""
    requests: NDArray[np.int64] | None = None
    """(E,) number of requests for help, for agents that can ask"""
    attention: list[NDArray[np.float32]] | None = None
    """for each episode (steps, words): attention to each word at each node of the path; rows sum to 1"""
    words: list[list[str]] | None = None
    """for each episode: the words"""


@dataclass
class Candidates:
    """K candidate routes for each of E episodes, from an agent's search."""

    nodes: NDArray[np.int64]
    """(E, K, T) from the start on, padded with -1; all -1 for missing routes"""
    scores: NDArray[np.float64]
    """(E, K) log-probabilities in descending order; -inf for missing routes"""
    explored: NDArray[np.int64]
    """(E, X) nodes in the order in which the agent expanded them, padded with -1"""


@dataclass
class PretrainingFigures:
    """How well an encoder's pre-training heads predict the actions and the masked words of a held-out split."""

    triplets: int
    """Number of predicted steps of annotated paths."""
    accuracy: float | None = None
    """Share of actions predicted correctly; None without an action head."""
    majority: float | None = None
    """Accuracy of always predicting the most frequent action of the training split."""
    mlm: float | None = None
    """Mean cross-entropy per masked word, in nats; None without a word head."""
    words_right: float | None = None
    """Share of masked words predicted correctly."""
    words_majority: float | None = None
    """Share of masked words that are the most frequent one of the split; None in the figures of older versions."""
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each action that occurs in the split its `share` of all actions and its `accuracy`."""


@runtime_checkable
class Samples(Protocol):
    def sample(self, count: int, *, generator: Generator | None = None, **options: Any) -> list[Any]:
        """Draw `count` items from the model."""
        ...


@runtime_checkable
class SamplesByClass(Protocol):
    classes: int
    """Number of classes."""

    def sample(
        self, count: int, *, generator: Generator | None = None, classes: Sequence[int] | None = None, **options: Any
    ) -> list[Any]:
        """As `Samples`. The `count` items cycle through `classes` (numbers)."""
        ...


@runtime_checkable
class Encodes(Protocol):
    latent_size: int

    def encode(self, items: Sequence[Any]) -> Posterior:
        """q(z|x) of the items. Differentiable, like `features`; `Run.encode` is not."""
        ...


@runtime_checkable
class Features(Protocol):
    def features(self, items: Sequence[Any]) -> Tensor:
        """(B, H) features for a classifier. Differentiable, so that the model can be fine-tuned with the classifier."""
        ...


@runtime_checkable
class Decodes(Protocol):
    latent_size: int

    def decode(self, z: Tensor, *, generator: Generator | None = None, **options: Any) -> list[Any]:
        """z: (B, P) → B items."""
        ...


@runtime_checkable
class Scores(Protocol):
    def score(self, items: Sequence[Any], samples: int, *, generator: Generator | None = None) -> Score: ...


@runtime_checkable
class Continues(Protocol):
    def continuations(
        self, prompts: Sequence[str], count: int, *, generator: Generator | None = None, **options: Any
    ) -> list[list[str]]:
        """`count` continuations of each prompt, without the prompt."""
        ...


@runtime_checkable
class PredictsWords(Protocol):
    def last_words(self, items: Sequence[str]) -> LastWords:
        """Of texts of at least two words."""
        ...


@runtime_checkable
class ScoresGiven(Protocol):
    def score_given(self, items: Sequence[Any], z: Tensor) -> Tensor:
        """log p(x|z) in nats, (B,) float64, of B items at B latents (B, P). Differentiable."""
        ...


@runtime_checkable
class Responds(Protocol):
    def respond(
        self, contexts: Sequence[Sequence[str]], count: int, *, generator: Generator | None = None, **options: Any
    ) -> list[list[str]]:
        """`count` responses to each context. A context is a list of turns, oldest first."""
        ...


@runtime_checkable
class ScoresResponses(Protocol):
    def score_responses(
        self,
        contexts: Sequence[Sequence[str]],
        responses: Sequence[str],
        samples: int,
        *,
        generator: Generator | None = None,
    ) -> Tensor:
        """log p(response | z_k) in nats for K = `samples` draws z_k per context: (K, B) float64."""
        ...


@runtime_checkable
class Translates(Protocol):
    directions: Sequence[str]
    """names of the translation directions, such as a2b"""

    def translate(self, items: Sequence[Any], direction: str) -> list[Any]:
        """Items of one domain → as many of the other."""
        ...


@runtime_checkable
class Attends(Protocol):
    directions: Sequence[str]

    def attention(self, items: Sequence[Any], direction: str) -> list[Tensor]:
        """Attention map of the translation of each item: (H, W) in [0, 1]."""
        ...


@runtime_checkable
class Describes(Protocol):
    def describe(
        self,
        nodes: NDArray[np.int64],
        headings: NDArray[np.float64],
        *,
        data: NavigationData,
        generator: Generator | None = None,
        **options: Any,
    ) -> list[str]:
        """An instruction for each path. nodes: (B, T), padded with -1. headings: (B,) at the start, in radians."""
        ...


@runtime_checkable
class Explains(Protocol):
    def log_likelihood(
        self, nodes: NDArray[np.int64], headings: NDArray[np.float64], texts: Sequence[str], *, data: NavigationData
    ) -> NDArray[np.float64]:
        """(B,) log P(text | path) in nats. nodes: (B, T), padded with -1. headings: (B,) at the start, in radians."""
        ...


@runtime_checkable
class Navigates(Protocol):
    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy rollouts of all episodes of the table in the graphs and views of `data`."""
        ...


@runtime_checkable
class Searches(Protocol):
    def likeliest_routes(self, table: EpisodeTable, data: NavigationData, count: int) -> Candidates:
        """The `count` most likely routes with distinct end nodes, for every episode of the table."""
        ...


@runtime_checkable
class Pretrains(Protocol):
    def pretraining_figures(self) -> dict[str, PretrainingFigures]:
        """Split → figures on the held-out splits of the run's data, as measured at the end of pre-training.

        Raises Lacks for a run without a finished pre-training.
        """
        ...


@runtime_checkable
class MixesStyles(Protocol):
    latent_size: int

    def mix(
        self, coarse: Tensor, fine: Tensor, *, layer: int, generator: Generator | None = None, **options: Any
    ) -> list[Any]:
        """Items with the styles of latents `coarse` (B, P) below `layer` and of `fine` (B, P) from it on."""
        ...


@runtime_checkable
class Shares(Protocol):
    """Can be written as a folder in the Hugging Face layout, and built from one."""

    def export(self, folder: Path, *, trimmed: bool = False) -> str:
        """Write weights and tokenisers to the empty `folder`. Returns a description of its files for the model card.

        trimmed: leave a trimmed vocabulary as it is, instead of restoring the whole one.
        """
        ...

    @classmethod
    def from_export(cls, config: RunConfig, folder: Path) -> Self:
        """The model of `config` with the exported weights. Raises GeneraError that lists every mismatched tensor."""
        ...

    @classmethod
    def from_origin(cls, config: RunConfig, origin: Origin) -> tuple[RunConfig, Self]:
        """A model with third-party weights, and `config` updated with their sizes and tokenisers.

        Weights that the origin lacks are drawn from torch's global generator. Raises GeneraError as `from_export`.
        """
        ...


CAPABILITIES: dict[str, type] = {
    capability.__name__: capability
    for capability in (
        Samples,
        SamplesByClass,
        Encodes,
        Features,
        Decodes,
        Scores,
        Continues,
        PredictsWords,
        ScoresGiven,
        Responds,
        ScoresResponses,
        Translates,
        Attends,
        Describes,
        Explains,
        Navigates,
        Searches,
        Pretrains,
        MixesStyles,
        Shares,
    )
}
"""All capabilities by name."""
