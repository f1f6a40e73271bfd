"""Walking with a trained agent: one instruction from a place, or all episodes of a split."""

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genera.console import say
from genera.engine.capabilities import Navigates
from genera.errors import GeneraError, unknown
from genera.measures.navigation import score, summary
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.episodes import DialogueEpisode, Episode, EpisodeTable
from genera.navigation.simulator import pose_of, views_along
from genera.navigation.trajectories import write_walks
from genera.uses.pragmatic import SearchConfig, search_figures
from genera.uses.pragmatic import search as best_route

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
    search: SearchConfig | None = None,
) -> dict[str, Any]:
    """The walk of the agent that hears `instruction` at viewpoint `start`, looking along `heading` (radians).

    An agent of NDH takes the instruction as the object to find, before any dialogue. goal: where it should arrive: its
    distance from the end is then told, and HANNA's helper knows where to send the agent. data: graphs and views of
    another source than the run's. features: another file of the views. search: choose among several routes instead of
    going with the likeliest action.

    Returns `path` (viewpoints), `headings` and `elevations` (radians), `words` and `attention` (for each step, STOP
    included, a weight for each word) of agents that attend to words, `requests` of those that ask, and `goal_distance`
    (metres) with a goal. Raises GeneraError for an unknown or excluded place, a goal that no way leads to, an empty
    instruction, and a run without an agent.
    """
    model = run.able(Navigates, "walk")
    if not instruction.strip():
        raise GeneraError("the instruction is empty; give it at least one word.")
    if not isfinite(heading):
        raise GeneraError(f"the heading is {heading}; a finite number was expected, in radians.")
    opened = open_data(run, data, features)
    for place in filter(None, (start, goal)):
        opened.graphs.node(scan, place)
    episode: Any = Episode("of yours", scan, (start,), float(heading), instruction, (goal,) if goal else ())
    if opened.source.task == "ndh":
        episode = DialogueEpisode(**vars(episode), target=instruction, turns=(), end_panos=())
    table = EpisodeTable(opened.graphs, (episode,))
    table.check()
    tokens, read = len(opened.assets.tokeniser.encode_batch([instruction])[0]), opened.config.max_tokens
    if tokens > read:
        say(f"warning: the instruction has {tokens} tokens; this agent reads {read} of them.")
    walk = model.navigate(table, opened) if search is None else best_route(run, table, opened, search)[0]
    path = walk.paths[0][walk.paths[0] >= 0]
    headings, elevations = pose_of(views_along(opened.graphs, path[None], table.heading))
    found: dict[str, Any] = {
        "scan": scan,
        "path": [opened.graphs.names[node] for node in path],
        "headings": headings[0].tolist(),
        "elevations": elevations[0].tolist(),
    }
    if walk.words is not None and walk.attention is not None:
        found |= {"words": walk.words[0], "attention": walk.attention[0].tolist()}
    if walk.requests is not None:
        found["requests"] = int(walk.requests[0])
    if goal:
        found["goal_distance"] = float(table.goal_distance(path[-1:], np.zeros(1, np.int64))[0])
    return found


def navigate_split(
    run: "Run",
    split: str,
    *,
    data: str | None = None,
    features: Path | None = None,
    out: Path | None = None,
    search: SearchConfig | None = None,
) -> dict[str, float]:
    """Mean figures of the agent's walks of all episodes of a split; empty where the split keeps its goals back.

    out: a submission file to write. data, features, search: as in `navigate`; the figures of a search have its cost on
    foot too.
    Raises GeneraError for an unknown split, and a run without an agent.
    """
    model = run.able(Navigates, "walk")
    opened = open_data(run, data, features)
    if split not in opened.source.files:
        raise unknown(f"split of {opened.config.data}:", split, opened.source.files)
    table = opened.table(split)
    walk, found = (model.navigate(table, opened), None) if search is None else best_route(run, table, opened, search)
    if out is not None:
        write_walks(out, table, walk.paths, opened.source.task, walk.requests)
    if (table.goals[:, 0] < 0).any():
        return {}
    figures = score(opened.source.task, table, walk.paths, walk.requests)
    return summary(figures | ({} if found is None else search_figures(table, walk, found, figures["SR"])))


def open_data(run: "Run", data: str | None, features: Path | None = None) -> NavigationData:
    """The run's data, or another source read as the run read its own, with the views of its feature file or of
    another. Raises GeneraError."""
    if not isinstance(run.method.assets, NavigationAssets):
        raise GeneraError(f"{run.folder.path} is a run of {run.config.method}, which walks nowhere.")
    config = run.config.data if data is None else replace(run.config.data, data=data, graphs=None)
    if features is not None:
        config = replace(config, features=features)
    return NavigationData.open(config, run.method.assets)
