"""What a trained model may be able to do. Uses and measures ask for these, never for a method's name.

Items are the data's own things (a sentence is a `str`, an image a tensor), so that no caller needs to know how a
method reads them. A method's class gets a capability by having its members; nothing is registered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:  # torch stays out of lists and help, which say what a model can do
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
class Walk:
    """Ways of E episodes through a navigation graph."""

    paths: NDArray[np.int64]
    """(E, T) nodes from the start on, each next one a neighbour, -1 after the last"""
    requests: NDArray[np.int64] | None = None
    """(E,) how often an agent asked for help, if it can"""
    attention: list[NDArray[np.float32]] | None = None
    """for each episode (steps, words), how much each word was attended to at each node of the way; rows sum to 1"""
    words: list[list[str]] | None = None
    """for each episode the words"""


@dataclass
class Candidates:
    """Routes of E episodes that an agent found likely, K of each."""

    nodes: NDArray[np.int64]
    """(E, K, T) from the start on, -1 after the last; nothing but -1 where an episode has fewer"""
    scores: NDArray[np.float64]
    """(E, K) log-probabilities, the likeliest first; -inf where an episode has fewer"""
    explored: NDArray[np.int64]
    """(E, X) nodes in the order in which the agent looked around there, -1 after the last"""


@dataclass
class PretrainingFigures:
    """How well an encoder's pre-training heads predict the actions and the masked words of a held-out split."""

    triplets: int
    """Steps of instructed paths that were predicted."""
    accuracy: float | None = None
    """Share of the actions that are predicted right; None without an action head."""
    majority: float | None = None
    """Share that the training split's most frequent action would get right."""
    mlm: float | None = None
    """Mean cross-entropy of a masked word, in nats; None without a word head."""
    words_right: float | None = None
    """Share of the masked words that are predicted right."""
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
    """How many classes the model tells apart."""

    def sample(
        self, count: int, *, generator: Generator | None = None, classes: Sequence[int] | None = None, **options: Any
    ) -> list[Any]:
        """As `Samples`; `classes` (by number) take turns over the `count` items."""
        ...


@runtime_checkable
class Encodes(Protocol):
    latent_size: int

    def encode(self, items: Sequence[Any]) -> Posterior:
        """Differentiable, as `features` is; `Run.encode` is not."""
        ...


@runtime_checkable
class Features(Protocol):
    def features(self, items: Sequence[Any]) -> Tensor:
        """(B, H) what a classifier is put on. Differentiable, so that the classifier may train the model with it."""
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
class ScoresGiven(Protocol):
    def score_given(self, items: Sequence[Any], z: Tensor) -> Tensor:
        """log p(x|z) in nats, (B,) float64, of B items at B latents (B, P). Differentiable."""
        ...


@runtime_checkable
class Responds(Protocol):
    def respond(
        self, contexts: Sequence[Sequence[str]], count: int, *, generator: Generator | None = None, **options: Any
    ) -> list[list[str]]:
        """`count` responses to each context, which is its turns, oldest first."""
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
        """log p(response | z_k) in nats at `samples` draws z_k for each context: (K, B) float64."""
        ...


@runtime_checkable
class Translates(Protocol):
    directions: Sequence[str]
    """names of the ways from one domain to another, such as a2b"""

    def translate(self, items: Sequence[Any], direction: str) -> list[Any]:
        """Items of one domain → as many of the other."""
        ...


@runtime_checkable
class Attends(Protocol):
    directions: Sequence[str]

    def attention(self, items: Sequence[Any], direction: str) -> list[Tensor]:
        """Where a translation looks: (H, W) in [0, 1] for each item."""
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
        """An instruction for each path of nodes (B, T; -1 after the last) that begins with a heading (B,), radians."""
        ...


@runtime_checkable
class Explains(Protocol):
    def log_likelihood(
        self, nodes: NDArray[np.int64], headings: NDArray[np.float64], texts: Sequence[str], *, data: NavigationData
    ) -> NDArray[np.float64]:
        """(B,) how likely an instruction is for a path of nodes (B, T; -1 after the last) begun with a heading (B,)."""
        ...


@runtime_checkable
class Navigates(Protocol):
    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Walk every episode of the table in the graphs and views of `data`, with the likeliest action each time."""
        ...


@runtime_checkable
class Searches(Protocol):
    def likeliest_routes(self, table: EpisodeTable, data: NavigationData, count: int) -> Candidates:
        """The `count` likeliest routes of every episode of the table that end at different nodes."""
        ...


@runtime_checkable
class Pretrains(Protocol):
    def pretraining_figures(self) -> dict[str, PretrainingFigures]:
        """Split → figures on the held-out splits of the run's own data, as measured when pre-training ended.

        Raises Lacks for a run without a finished pre-training.
        """
        ...


@runtime_checkable
class MixesStyles(Protocol):
    latent_size: int

    def mix(
        self, coarse: Tensor, fine: Tensor, *, layer: int, generator: Generator | None = None, **options: Any
    ) -> list[Any]:
        """Items with the styles of latents `coarse` (B, P) up to a layer and of `fine` (B, P) from it on."""
        ...


@runtime_checkable
class Shares(Protocol):
    """Can be written as a folder in the Hugging Face layout, and built from one."""

    def export(self, folder: Path) -> str:
        """Write weights and tokenisers into the empty `folder`; returns what a reader must know of its files."""
        ...

    @classmethod
    def from_export(cls, config: RunConfig, folder: Path) -> Self:
        """The model of `config`, with what `export` wrote. Raises GeneraError listing every tensor that misfits."""
        ...

    @classmethod
    def from_origin(cls, config: RunConfig, origin: Origin) -> tuple[RunConfig, Self]:
        """A model with weights that others made, and `config` with their sizes and tokenisers in it.

        What they do not bring is drawn from torch's global generator. Raises GeneraError as `from_export` does.
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
