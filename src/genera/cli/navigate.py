"""`genera navigate check|baseline|score`: navigation data, agents that need no training, and scores of trajectories."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import tyro
from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.errors import GeneraError

if TYPE_CHECKING:
    from genera.data.navigation.episodes import EpisodeTable
    from genera.data.navigation.sources import NavigationSource

Agent: TypeAlias = Literal["stop", "random", "shortest", "straightest"]
Supervision: TypeAlias = Literal["planner", "player", "trusted"]


@dataclass(frozen=True, kw_only=True)
class Data:
    data: str = "world:houses"
    """r2r:DIR, ndh:DIR, hanna:DIR (episodes and connectivity), world:houses, world:houses-ndh or world:houses-hanna."""
    graphs: Path | None = None
    """Folder or archive of the connectivity files [with the episodes, beside them, or in r2r/ beside them]."""
    strict: bool = True
    """Refuse malformed viewpoints; --no-strict leaves them out, with a warning."""
    supervision: Supervision = "trusted"
    """NDH only: whose path is the reference (the tables' Oracle, Navigator, Mixed)."""
    json: bool = False
    """Print JSON."""

    def source(self) -> "NavigationSource":
        from genera.data.navigation.sources import open_navigation

        return open_navigation(self.data, self.graphs, self.strict)


@dataclass(frozen=True, kw_only=True)
class Check(Data):
    """Validate graphs and episodes, and count them."""

    split: str | None = None
    """Only this split [all]."""


@dataclass(frozen=True, kw_only=True)
class Baseline(Data):
    """Run an agent that needs no training, and score it."""

    split: str = "val_seen"
    """Split of the episodes."""
    agent: Agent = "shortest"
    """stop: stays; random: as in the R2R paper; shortest: knows the way; straightest: five times straight on."""
    seed: int = 0
    """Seed of the random agent."""
    out: Path | None = None
    """Write the trajectories here, in the format of the benchmark's submissions."""


@dataclass(frozen=True, kw_only=True)
class Score(Data):
    """Score a submission file: a list of {instr_id, trajectory: [[viewpoint, heading, elevation], ...]}."""

    submission: Positional[Path]
    """The file, plain or .gz."""
    split: str = "val_seen"
    """Split that it answers."""


def main(arguments: list[str]) -> None:
    command: Any = parse(
        Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Baseline, tyro.conf.subcommand("baseline")]
        | Annotated[Score, tyro.conf.subcommand("score")],  # type: ignore[arg-type]
        arguments,
        "navigate",
    )
    result = STEPS[type(command)](command)
    if command.json:  # JSON has no infinity: an error that no episode can have is null
        result = {name: None if value == float("inf") else value for name, value in result.items()}
    print_json(result) if command.json else print(as_text(result))


def check(command: Check) -> dict[str, Any]:
    """Counts of the graphs and of each split. Raises GeneraError at the first thing that is wrong."""
    source = command.source()
    graphs = source.graphs
    found: dict[str, Any] = {
        "data": command.data,
        "scans": len(graphs.scans),
        "viewpoints": len(graphs),
        "excluded": sum(map(len, graphs.excluded)),
        "isolated": int((graphs.degrees == 0).sum()),
        "edges": graphs.edges(),
        "splits": {},
    }
    for split in source.files if command.split is None else [command.split]:
        table = source.table(split, command.supervision)
        table.check()
        found["splits"][split] = {
            "episodes": len(table),
            "scans": len({episode.scan for episode in table.episodes}),
            "nodes": int((table.reference >= 0).sum()),
            "longest_instruction": max(len(episode.instruction.split()) for episode in table.episodes),
        }
    return found


def baseline(command: Baseline) -> dict[str, Any]:
    from genera.data.navigation.trajectories import write_submission
    from genera.worlds.navigation import pose_of, views_along
    from genera.worlds.walkers import AGENTS

    source = command.source()
    table = source.table(command.split, command.supervision)
    paths = AGENTS[command.agent](table, command.seed)
    if command.out is not None:
        names = table.graphs.names
        headings, elevations = pose_of(views_along(table.graphs, paths, table.heading))
        steps = zip(paths.tolist(), headings.tolist(), elevations.tolist(), strict=True)
        trajectories = {
            episode.id: [(names[node], *pose) for node, *pose in zip(*rows, strict=True) if node >= 0]
            for episode, rows in zip(table.episodes, steps, strict=True)
        }
        write_submission(command.out, trajectories, "inst_idx" if source.task == "ndh" else "instr_id")
    return {**_scores(source.task, table, paths), "agent": command.agent, **_about(command, table)}


def score(command: Score) -> dict[str, Any]:
    from genera.data.navigation.episodes import EpisodeTable
    from genera.data.navigation.trajectories import read_submission

    source = command.source()
    table = source.table(command.split, command.supervision)
    found = read_submission(command.submission, table, partial=command.split == "train")
    table = EpisodeTable(table.graphs, tuple(table.episodes[row] for row in found.rows))
    figures = _scores(source.task, table, found.paths, found.requests)
    return {**figures, "submission": str(command.submission), **_about(command, table)}


def _scores(task: str, table: "EpisodeTable", paths: Any, requests: Any = None) -> dict[str, Any]:
    from genera.measures.navigation import score, summary

    if not len(table):
        raise GeneraError("the submission answers no episode of this split.")
    return summary(score(task, table, paths, requests))


def _about(command: Baseline | Score, table: "EpisodeTable") -> dict[str, Any]:
    return {"data": command.data, "split": command.split, "episodes": len(table)}


STEPS: dict[type, Callable[[Any], dict[str, Any]]] = {Check: check, Baseline: baseline, Score: score}


def as_text(result: dict[str, Any]) -> str:
    """Counts as they are, figures with their titles and units."""
    from genera.measures.catalogue import CATALOGUE

    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            for split, counts in value.items():
                lines.append(f"  {split:<44} " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))
        elif name in CATALOGUE:
            lines.append(f"  {CATALOGUE[name].title:<44} {value:>12.4f}  {CATALOGUE[name].unit}")
        else:
            lines.append(f"  {name:<44} {value:>12,}" if isinstance(value, int) else f"  {name:<44} {value}")
    return "\n".join(lines)
