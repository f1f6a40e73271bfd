"""Navigation data without a trained model: validation, agents that need no training, scores of submission files."""

from pathlib import Path
from typing import Any

from genera.errors import GeneraError
from genera.measures.navigation import score, summary
from genera.navigation.config import Supervision
from genera.navigation.episodes import EpisodeTable
from genera.navigation.helper import Helper
from genera.navigation.sources import NavigationSource
from genera.navigation.trajectories import read_submission, write_walks
from genera.navigation.walkers import AGENTS


def check_source(source: NavigationSource, split: str | None, supervision: Supervision) -> dict[str, Any]:
    """Validate graphs, episodes and the helper's routes; returns counts. split: None for all.

    Raises GeneraError at the first error.
    """
    graphs = source.graphs
    counts: dict[str, Any] = {
        "scans": len(graphs.scans),
        "viewpoints": len(graphs),
        "excluded": sum(map(len, graphs.excluded)),
        "isolated": int((graphs.degrees == 0).sum()),
        "edges": graphs.edges(),
    }
    if source.task == "hanna":
        counts["routes"] = len(Helper(graphs, source.routes()).routes)
    counts["splits"] = {}
    for name in source.files if split is None else [split]:
        table = source.table(name, supervision)
        table.check()
        counts["splits"][name] = {
            "episodes": len(table),
            "scans": len({episode.scan for episode in table.episodes}),
            "nodes": int((table.reference >= 0).sum()),
            "longest_instruction": max(len(episode.instruction.split()) for episode in table.episodes),
        }
    return counts


def run_baseline(
    source: NavigationSource, table: EpisodeTable, agent: str, seed: int, out: Path | None
) -> dict[str, Any]:
    """Mean figures of an agent of `walkers.AGENTS`; empty for a split whose goals are not public. out: a submission."""
    paths = AGENTS[agent](table, seed)
    if out is not None:
        write_walks(out, table, paths, source.task)
    if (table.goals[:, 0] < 0).any():
        return {}
    return summary(score(source.task, table, paths))


def score_submission(
    source: NavigationSource, table: EpisodeTable, file: Path, *, partial: bool, expand: bool
) -> tuple[dict[str, Any], int]:
    """Mean figures of a submission file, and the number of its episodes.

    partial: whether episodes may be missing. expand: fill jumps with the shortest path instead of rejecting them.
    Raises GeneraError for a submission that does not match the table, or is empty.
    """
    submission = read_submission(file, table, partial=partial, expand=expand)
    if not len(submission.rows):
        raise GeneraError("the submission contains no episode of this split.")
    answered = EpisodeTable(table.graphs, tuple(table.episodes[row] for row in submission.rows))
    figures = summary(score(source.task, answered, submission.paths, submission.requests))
    return figures, len(answered)
