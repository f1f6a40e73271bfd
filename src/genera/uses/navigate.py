"""Rollouts of a trained agent, optionally re-ranked by a speaker: one instruction, or all episodes of a split."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genera.console import say
from genera.engine.capabilities import Navigates, Walk
from genera.errors import GeneraError, unknown
from genera.measures.navigation import score, summary
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.episodes import DialogueEpisode, Episode, EpisodeTable
from genera.navigation.simulator import pose_of, views_along
from genera.navigation.trajectories import write_walks
from genera.uses.items import finite
from genera.uses.pragmatic import RerankConfig, rerank, search_cost

if TYPE_CHECKING:
    from genera.uses.run import Run


def navigate(
    run: "Run",
    instruction: str,
    *,
    scan: str,
    start: str,
    heading: float = 0.0,
    goal: str | None = None,
    data: str | None = None,
    features: Path | None = None,
    reranking: RerankConfig | None = None,
) -> dict[str, Any]:
    """A greedy rollout of the agent for `instruction`, from viewpoint `start` with `heading` (radians).

    For an agent of NDH the instruction is the target object; the dialogue is empty.

    goal: the target viewpoint: adds the distance to it, and is the target of HANNA's helper.
    data: source of graphs and views instead of the run's. features: feature file of the views instead of the run's.
    reranking: search for candidate routes and choose one with a speaker, instead of the greedy rollout.

    Returns `path` (viewpoints), `headings` and `elevations` (radians); `words` and `attention` (for each step, STOP
    included, a weight for each word) if the agent attends to words; `requests` if it can ask for help; `goal_distance`
    (metres) with a goal. Raises GeneraError for an unknown or excluded viewpoint, an unreachable goal, an empty
    instruction, and a run without an agent.
    """
    model = run.able(Navigates, "walk")
    if not isinstance(instruction, str):
        raise GeneraError(f"the instruction must be a text, got a {type(instruction).__name__}.")
    if not instruction.strip():
        raise GeneraError("the instruction is empty; give it at least one word.")
    heading = finite(heading, "the heading")
    opened = open_data(run, data, features)
    table = _single_episode(opened, instruction, scan, start, heading, goal)
    _warn_if_cut(opened, instruction)
    walk = model.navigate(table, opened) if reranking is None else rerank(run, table, opened, reranking)[0]
    return _described(walk, table, opened, scan, has_goal=bool(goal))


def navigate_split(
    run: "Run",
    split: str,
    *,
    data: str | None = None,
    features: Path | None = None,
    out: Path | None = None,
    reranking: RerankConfig | None = None,
) -> dict[str, float]:
    """Mean figures of greedy rollouts of all episodes of a split; empty for a split whose goals are not public.

    out: a submission file to write. data, features, reranking: see `navigate`; with re-ranking, the figures include the
    cost of the search. Raises GeneraError for an unknown split, and for a run without an agent.
    """
    model = run.able(Navigates, "walk")
    opened = open_data(run, data, features)
    if split not in opened.source.files:
        raise unknown(f"split of {opened.config.data}:", split, opened.source.files)
    table = opened.table(split)
    if reranking is None:
        walk, candidates = model.navigate(table, opened), None
    else:
        walk, candidates = rerank(run, table, opened, reranking)
    if out is not None:
        write_walks(out, table, walk.paths, opened.source.task, walk.requests)
    if (table.goals[:, 0] < 0).any():
        return {}
    figures = score(opened.source.task, table, walk.paths, walk.requests)
    if candidates is not None:
        figures |= search_cost(table, walk, candidates, figures["SR"])
    return summary(figures)


def open_data(run: "Run", data: str | None, features: Path | None = None) -> NavigationData:
    """The run's data, or another source opened with the run's vocabulary and tokeniser. features: a feature file.

    Raises GeneraError for a run without navigation data.
    """
    if not isinstance(run.method.assets, NavigationAssets):
        raise GeneraError(f"{run.folder.path} is a run of {run.config.method}, which does not navigate.")
    config = run.config.data if data is None else replace(run.config.data, data=data, graphs=None)
    if features is not None:
        config = replace(config, features=features)
    return NavigationData.open(config, run.method.assets)


def _single_episode(
    opened: NavigationData, instruction: str, scan: str, start: str, heading: float, goal: str | None
) -> EpisodeTable:
    for viewpoint in filter(None, (start, goal)):
        opened.graphs.node(scan, viewpoint)
    episode: Any = Episode("of yours", scan, (start,), float(heading), instruction, (goal,) if goal else ())
    if opened.source.task == "ndh":
        episode = DialogueEpisode(**vars(episode), target=instruction, turns=(), end_panos=())
    table = EpisodeTable(opened.graphs, (episode,))
    table.check()
    return table


def _warn_if_cut(opened: NavigationData, instruction: str) -> None:
    tokens, limit = len(opened.assets.tokeniser.encode_batch([instruction])[0]), opened.config.max_tokens
    if tokens > limit:
        say(f"warning: the instruction has {tokens} tokens; this agent reads only {limit} of them.")


def _described(walk: Walk, table: EpisodeTable, opened: NavigationData, scan: str, has_goal: bool) -> dict[str, Any]:
    """The rollout of a single episode, as `navigate` returns it."""
    path = walk.paths[0][walk.paths[0] >= 0]
    headings, elevations = pose_of(views_along(opened.graphs, path[None], table.heading))
    result: dict[str, Any] = {
        "scan": scan,
        "path": [opened.graphs.names[node] for node in path],
        "headings": headings[0].tolist(),
        "elevations": elevations[0].tolist(),
    }
    if walk.words is not None and walk.attention is not None:
        result |= {"words": walk.words[0], "attention": walk.attention[0].tolist()}
    if walk.requests is not None:
        result["requests"] = int(walk.requests[0])
    if has_goal:
        result["goal_distance"] = float(table.goal_distance(path[-1:], np.zeros(1, np.int64))[0])
    return result
