"""Walking with a second thought (pragmatic inference, Fried et al. 2018): a follower finds routes, and a speaker says
which of them the instruction describes best."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genera.engine.capabilities import Candidates, Explains, Searches, Walk
from genera.errors import GeneraError
from genera.measures.navigation import Figures, efficiency, last, path_length
from genera.navigation.dataset import NavigationData
from genera.navigation.episodes import EpisodeTable

if TYPE_CHECKING:
    from genera.uses.run import Run

SPEAKER_WEIGHT = 0.95
"""As published."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How a route is chosen among several."""

    candidates: int
    """K, routes that the follower finds, its likeliest ones to different places (published: 40)"""
    speaker: "Run | None" = None
    """the run whose speaker judges; None: the agent's own run"""
    speaker_weight: float = SPEAKER_WEIGHT
    """λ in P_speaker(instruction | route)^λ · P_follower(route | instruction)^(1 - λ); at 0 no speaker is asked"""

    def check(self) -> None:
        """Raises GeneraError."""
        if self.candidates < 1:
            raise GeneraError(f"--candidates must be at least 1, got {self.candidates}.")
        if not 0 <= self.speaker_weight <= 1:
            raise GeneraError(f"--speaker-weight must lie in 0 .. 1, got {self.speaker_weight}.")
        if self.speaker is not None and not self.speaker_weight:
            raise GeneraError("a speaker whose weight is 0 is not asked; leave --speaker out, or give a larger weight.")


def search(run: "Run", table: EpisodeTable, data: NavigationData, config: SearchConfig) -> tuple[Walk, Candidates]:
    """The best of the candidates of every episode, and all of them.

    Raises GeneraError for settings out of range, and for a run without an agent of R2R or a speaker.
    """
    config.check()
    found = run.able(Searches, "search for routes").likeliest_routes(table, data, config.candidates)
    there = np.isfinite(found.scores)
    total = (1 - config.speaker_weight) * np.where(there, found.scores, 0.0)
    if config.speaker_weight:
        total += config.speaker_weight * _explained(config.speaker or run, table, data, found)
    best = np.where(there, total, -np.inf).argmax(axis=1)
    return Walk(found.nodes[np.arange(len(best)), best]), found


def _explained(speaker: "Run", table: EpisodeTable, data: NavigationData, found: Candidates) -> NDArray[np.float64]:
    """(E, K) log-probabilities of each episode's instruction for each of its routes; 0 where there is none."""
    model = speaker.able(Explains, "judge routes")
    data = NavigationData.open(data.config, speaker.method.assets)  # its own words
    episode, route = np.nonzero(np.isfinite(found.scores))
    texts = [table.episodes[row].instruction for row in episode]
    result = np.zeros(found.scores.shape)
    result[episode, route] = model.log_likelihood(found.nodes[episode, route], table.heading[episode], texts, data=data)
    return result


def search_figures(table: EpisodeTable, walk: Walk, found: Candidates, success: NDArray[np.float64]) -> Figures:
    """What the search would cost an agent that has to walk it, from each node where it looked around to the next and
    then to where the chosen route ends: metres (E,), and the SPL (E,) that counts them."""
    graphs, end = table.graphs, last(walk.paths)
    metres = path_length(graphs, found.explored) + graphs.distance(last(found.explored), end)
    shortest = graphs.distance(table.start, last(table.reference))
    return {"TL_explored": metres, "SPL_explored": success * efficiency(shortest, metres)}
