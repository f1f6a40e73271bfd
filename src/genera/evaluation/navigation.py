"""How navigation agents, their speakers and their encoders are measured, part by part.

Figures of val_seen (or of the split that was asked for) stand under their names, those of val_unseen under NAME_unseen.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genera.data.vocabularies.words import split_words
from genera.engine.capabilities import Describes, Navigates, Walk
from genera.errors import Lacks
from genera.evaluation.evaluate import Evaluation
from genera.files import read_json
from genera.measures.estimate import Estimate, mean_estimate
from genera.measures.navigation import HANNA_RADIUS, SUCCESS_RADIUS, Figures, path_length, score
from genera.measures.text import corpus_bleu
from genera.navigation.episodes import EpisodeTable
from genera.navigation.walkers import AGENTS

SPLITS = {"test": ("val_seen", "val_unseen")}
UNSEEN = "val_unseen"
_NAMES = {"valid": "val_seen"}  # of the split that training validates on
SHOWN = 6
"""Episodes of each split that are drawn on a map, and paths that are shown with the speaker's words."""
COMPARED = ("SR", "SPL", "goal_progress")
"""Figures that seen and unseen houses, and the random agent, are compared by; the last is NDH's alone."""
EARLY = 0.75
"""An episode that fails after less than this share of the shortest way has stopped early."""
FEWEST = 5
"""Episodes of a length or scan that a mean is worth showing of."""


def walks(evaluation: Evaluation) -> bool:
    """The task's figures, how the agent fails, and means by length and by scan."""
    if _walked(evaluation, evaluation.splits[0]) is None:
        return False
    figures = evaluation.measures
    for split in evaluation.splits:
        table, found = _figures(evaluation, split)
        walk = _walk(evaluation, split)
        radius = HANNA_RADIUS if evaluation.data.source.task == "hanna" else SUCCESS_RADIUS
        for name, values in {**found, **behaviour(table, walk.paths, found["SR"], radius)}.items():
            finite = values[np.isfinite(values)]
            if len(finite):
                figures[name + _suffix(split)] = mean_estimate(finite)
        figures["revisits" + _suffix(split)] = revisits(walk.paths)
        evaluation.extras.setdefault("breakdowns", {})[split] = {
            "edges": _means((table.reference >= 0).sum(axis=1) - 1, found),
            "scan": _means(np.array([episode.scan for episode in table.episodes]), found),
        }
    for name in COMPARED:
        seen, unseen = figures.get(name), figures.get(f"{name}_unseen")
        if seen and unseen:
            error = None if None in (seen.error, unseen.error) else float(np.hypot(seen.error, unseen.error))  # type: ignore[arg-type]
            figures[f"{name}_gap"] = Estimate(seen.value - unseen.value, error, unseen.n)
    return True


def shuffled(evaluation: Evaluation) -> bool:
    """The same episodes, each with another one's instruction: does the agent need it?"""
    if _walked(evaluation, evaluation.splits[0]) is None:
        return False
    for split in evaluation.splits:
        table = _table(evaluation, split)
        walk = evaluation.run.method.navigate(misled(table), evaluation.data)  # type: ignore[operator]
        found = score(evaluation.data.source.task, table, walk.paths, walk.requests)
        for name in ("SR", "nDTW", "goal_progress"):
            if name in found:
                evaluation.measures[f"{name}_shuffled{_suffix(split)}"] = mean_estimate(found[name])
    return True


def random(evaluation: Evaluation) -> bool:
    """The random agent on the same episodes."""
    if _walked(evaluation, evaluation.splits[0]) is None:
        return False
    for split in evaluation.splits:
        table = _table(evaluation, split)
        found = score(evaluation.data.source.task, table, AGENTS["random"](table, evaluation.config.seed))
        for name in COMPARED:
            if name in found:
                evaluation.measures[f"{name}_random{_suffix(split)}"] = mean_estimate(found[name])
    return True


def speaker(evaluation: Evaluation) -> bool:
    """Greedy instructions for the paths of the split against all annotated ones of each path."""
    model = evaluation.run.method
    if not isinstance(model, Describes) or evaluation.data.source.task != "r2r":
        return False
    for split in evaluation.splits:
        table = _table(evaluation, split)
        _, first, path = np.unique(
            np.column_stack([table.reference, table.heading]), axis=0, return_index=True, return_inverse=True
        )
        try:
            written = model.describe(table.reference[first], table.heading[first], data=evaluation.data)
        except Lacks:
            return False
        references: list[list[str]] = [[] for _ in first]
        for own, episode in zip(path.ravel().tolist(), table.episodes, strict=True):
            references[own].append(" ".join(split_words(episode.instruction)))
        width = max(map(len, references))
        streams = [[own[i] if i < len(own) else None for own in references] for i in range(width)]
        bleu = corpus_bleu(written, *streams)  # type: ignore[arg-type]
        evaluation.measures["speaker_bleu" + _suffix(split)] = Estimate(bleu, None, len(first))
        evaluation.extras.setdefault("instructions", []).extend(
            {"scan": table.episodes[first[i]].scan, "split": split, "written": written[i], "annotated": references[i]}
            for i in _spread(len(first))
        )
    return True


def pretraining(evaluation: Evaluation) -> bool:
    """What the stage of pre-training measured when it ended, on these splits of the run's own data."""
    if evaluation.config.data not in (None, evaluation.run.config.data.data):
        return False
    names = {
        "accuracy": "action_accuracy",
        "majority": "action_majority",
        "mlm": "masked_word_nats",
        "words_right": "masked_words_right",
    }
    there = False
    for file in sorted(evaluation.run.folder.artefacts.glob("*/figures.json")):
        for split, found in read_json(file).items():
            if not {split, _NAMES.get(split, split)} & set(evaluation.splits):
                continue
            for key, name in names.items():
                if key in found:
                    evaluation.measures[name + _suffix(split)] = Estimate(found[key], None, found["triplets"])
                    there = True
            if "classes" in found:
                evaluation.extras.setdefault("actions", {})[split] = found["classes"]
    return there


def maps(evaluation: Evaluation) -> bool:
    """A few episodes as the report draws them: the house, the way, the reference, and the words attended to."""
    if _walked(evaluation, evaluation.splits[0]) is None:
        return False
    drawn = []
    for split in evaluation.splits:
        table, found = _figures(evaluation, split)
        walk = _walk(evaluation, split)
        for row in _spread(len(table)):
            episode = table.episodes[row]
            drawn.append(
                {
                    "id": episode.id,
                    "split": split,
                    "scan": episode.scan,
                    "instruction": episode.instruction,
                    **_plan(table, episode.scan),
                    "path": _within(table, row, walk.paths),
                    "reference": _within(table, row, table.reference),
                    "goals": _within(table, row, table.goals),
                    "words": walk.words[row] if walk.words else [],
                    "attention": np.round(walk.attention[row], 3).tolist() if walk.attention else [],
                    "figures": {name: float(values[row]) for name, values in found.items()},
                }
            )
    evaluation.extras["walks"] = drawn
    return True


PARTS: dict[str, Callable[[Evaluation], bool]] = {
    "walks": walks,
    "shuffled": shuffled,
    "random": random,
    "speaker": speaker,
    "pretraining": pretraining,
    "maps": maps,
}


# -- how an agent fails -----------------------------------------------------------------------------------------------


def behaviour(table: EpisodeTable, paths: NDArray[np.int64], success: NDArray[np.float64], radius: float) -> Figures:
    """(E,) whether each episode stopped early, and whether it passed the goal by. radius: of success, metres."""
    rows = np.arange(len(table))
    shortest = table.goal_distance(table.start, rows)
    metres = [np.where(at >= 0, table.goal_distance(np.maximum(at, 0), rows), np.inf) for at in paths.T]
    passed = (success == 0) & (np.min(metres, axis=0) <= radius)
    early = (success == 0) & ~passed & (path_length(table.graphs, paths) < EARLY * shortest)
    return {"stopped_early": early.astype(np.float64), "passed_by": passed.astype(np.float64)}


def revisits(paths: NDArray[np.int64]) -> Estimate:
    """Share of all moves that lead to a node where the walk has been before."""
    moves = again = 0
    for path in paths.tolist():
        nodes = [node for node in path if node >= 0]
        moves += len(nodes) - 1
        again += len(nodes) - len(set(nodes))
    return Estimate(again / max(1, moves), None, moves)


def misled(table: EpisodeTable) -> EpisodeTable:
    """The table with every episode's words from the episode half the table away."""
    half = max(1, len(table) // 2)
    episodes = []
    for i, episode in enumerate(table.episodes):
        other = table.episodes[(i + half) % len(table)]
        told = {name: getattr(other, name) for name in ("instruction", "target", "turns") if hasattr(other, name)}
        episodes.append(replace(episode, **told))
    return EpisodeTable(table.graphs, tuple(episodes))


# -- shared by the parts ----------------------------------------------------------------------------------------------


def _suffix(split: str) -> str:
    return "_unseen" if split == UNSEEN else ""


def _table(evaluation: Evaluation, split: str) -> EpisodeTable:
    whole = evaluation.data.table(split)
    return EpisodeTable(whole.graphs, whole.episodes[: evaluation.config.items])


def _walked(evaluation: Evaluation, split: str) -> Walk | None:
    """The agent's ways through the split's episodes, walked once; None for a run without an agent."""
    walks, model = evaluation.shared.setdefault("walks", {}), evaluation.run.method
    if split not in walks:
        walks[split] = None
        if isinstance(model, Navigates):
            with suppress(Lacks):
                walks[split] = model.navigate(_table(evaluation, split), evaluation.data)
    return walks[split]


def _walk(evaluation: Evaluation, split: str) -> Walk:
    walk = _walked(evaluation, split)
    assert walk is not None  # the parts look at the first split before
    return walk


def _figures(evaluation: Evaluation, split: str) -> tuple[EpisodeTable, Figures]:
    table, walk = _table(evaluation, split), _walk(evaluation, split)
    return table, score(evaluation.data.source.task, table, walk.paths, walk.requests)


def _means(groups: NDArray[Any], found: Figures) -> dict[str, dict[str, float]]:
    """group → number of episodes and mean figures, of the groups that have enough."""
    means = {}
    for group in np.unique(groups):
        rows = groups == group
        if rows.sum() >= FEWEST:
            means[str(group)] = {"episodes": int(rows.sum())} | {
                name: float(values[rows].mean()) for name, values in found.items()
            }
    return means


def _spread(count: int) -> list[int]:
    """Rows that are shown, from the whole range."""
    return [i * count // min(SHOWN, count) for i in range(min(SHOWN, count))]


def _plan(table: EpisodeTable, scan: str) -> dict[str, Any]:
    """Positions (n, 3) in metres and edges of a scan."""
    graphs = table.graphs
    number = graphs.scans.index(scan)
    first, end = graphs.first[number], graphs.first[number + 1]
    here, column = np.nonzero(graphs.candidates[first:end] >= 0)
    there = graphs.candidates[first + here, column] - first
    edges = np.stack([here, there], axis=1)[here < there]
    return {"positions": graphs.positions[first:end].round(2).tolist(), "edges": edges.tolist()}


def _within(table: EpisodeTable, row: int, nodes: NDArray[np.int64]) -> list[int]:
    """The nodes of a row, counted within its scan."""
    first = table.graphs.first[table.graphs.scan_of[table.start[row]]]
    return [int(node - first) for node in nodes[row] if node >= 0]
