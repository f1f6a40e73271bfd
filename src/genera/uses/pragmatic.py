"""Pragmatic inference (Fried et al. 2018): an agent finds candidate routes, and a speaker re-ranks them by how well the
instruction describes each."""

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
class RerankConfig:
    """Settings for choosing a route among candidates."""

    candidates: int
    """K, the number of candidate routes with distinct end nodes (published: 40)."""
    speaker: "Run | None" = None
    """The run whose speaker re-ranks the routes; None: the agent's run."""
    speaker_weight: float = SPEAKER_WEIGHT
    """λ in P_speaker(instruction | route)^λ · P_agent(route | instruction)^(1 - λ); 0 uses no speaker."""

    def check(self) -> None:
        """Raises GeneraError for settings out of range."""
        if self.candidates < 1:
            raise GeneraError(f"--candidates must be at least 1, got {self.candidates}.")
        if not 0 <= self.speaker_weight <= 1:
            raise GeneraError(f"--speaker-weight must lie in 0 .. 1, got {self.speaker_weight}.")
        if self.speaker is not None and not self.speaker_weight:
            raise GeneraError("a speaker with weight 0 is not used; drop --speaker, or give a larger weight.")


def rerank(run: "Run", table: EpisodeTable, data: NavigationData, config: RerankConfig) -> tuple[Walk, Candidates]:
    """The best route of every episode, and all candidates.

    Raises GeneraError for settings out of range, and for a run whose agent cannot search or that has no speaker.
    """
    config.check()
    candidates = run.able(Searches, "search for routes").likeliest_routes(table, data, config.candidates)
    exists = np.isfinite(candidates.scores)
    total = (1 - config.speaker_weight) * np.where(exists, candidates.scores, 0.0)
    if config.speaker_weight:
        total += config.speaker_weight * _speaker_scores(config.speaker or run, table, data, candidates)
    best = np.where(exists, total, -np.inf).argmax(axis=1)
    return Walk(candidates.nodes[np.arange(len(best)), best]), candidates


def _speaker_scores(
    speaker: "Run", table: EpisodeTable, data: NavigationData, candidates: Candidates
) -> NDArray[np.float64]:
    """(E, K) log P(instruction | route) of each episode's instruction and routes; 0 where there is no route."""
    model = speaker.able(Explains, "re-rank routes")
    data = NavigationData.open(data.config, speaker.method.assets)  # with the speaker's vocabulary
    episode, route = np.nonzero(np.isfinite(candidates.scores))
    instructions = [table.episodes[row].instruction for row in episode]
    paths, headings = candidates.nodes[episode, route], table.heading[episode]
    scores = np.zeros(candidates.scores.shape)
    scores[episode, route] = model.log_likelihood(paths, headings, instructions, data=data)
    return scores


def search_cost(table: EpisodeTable, walk: Walk, candidates: Candidates, success: NDArray[np.float64]) -> Figures:
    """Cost of the search for an embodied agent, which walks from each expanded node to the next and then to the end of
    the chosen route: metres (E,), and the SPL (E,) for that length."""
    graphs, end = table.graphs, last(walk.paths)
    explored = candidates.explored
    metres = path_length(graphs, explored) + graphs.distance(last(explored), end)
    shortest = graphs.distance(table.start, last(table.reference))
    return {"TL_explored": metres, "SPL_explored": success * efficiency(shortest, metres)}
