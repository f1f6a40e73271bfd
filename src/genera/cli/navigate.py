"""`genera navigate check|baseline|score`: navigation data, agents that need no training, and scores of trajectories.
`genera navigate RUN`: walks of a trained agent."""

from collections.abc import Callable
from dataclasses import dataclass
from math import degrees
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import tyro
from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.console import say
from genera.errors import GeneraError
from genera.navigation.config import Supervision

if TYPE_CHECKING:
    from genera.navigation.episodes import EpisodeTable
    from genera.navigation.sources import NavigationSource
    from genera.uses.pragmatic import SearchConfig

Agent: TypeAlias = Literal["stop", "random", "shortest", "straightest"]

HEEDED = 3
"""Words shown of each step."""


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
        from genera.navigation.sources import open_navigation

        return open_navigation(self.data, self.graphs, self.strict)


@dataclass(frozen=True, kw_only=True)
class Check(Data):
    """Validate graphs, episodes and the routes of HANNA's helper, and count them."""

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
    expand: bool = False
    """Fill jumps between viewpoints that are no neighbours with the shortest way, instead of refusing them."""


@dataclass(frozen=True, kw_only=True)
class Walk(UseOptions):
    """Walk with a trained agent: one instruction from a viewpoint, or all episodes of a split, scored. The word walk
    may be left out: genera navigate RUN ..."""

    run: Positional[Path]
    """The run folder."""
    instruction: Positional[str | None] = None
    """What the agent hears: "walk past the sofa and stop at the door"; for an agent of NDH the object to find."""
    scan: str | None = None
    """The scan (house) to walk in."""
    start: str | None = None
    """The viewpoint to start from."""
    heading: float = 0.0
    """Where the agent looks at the start, in radians clockwise from north."""
    goal: str | None = None
    """Where it should arrive: tells how far from there it stops [not known]."""
    split: str | None = None
    """Instead: walk all episodes of this split, and score them."""
    out: Path | None = None
    """With --split: write the walks here, in the format of the benchmark's submissions."""
    data: str | None = None
    """Graphs, views and episodes of another source than the run's (r2r:DIR, world:houses, ...)."""
    features: Path | None = None
    """The feature file of the views, where it is not where it was in training [that of the run]."""
    candidates: int | None = None
    """Choose among so many routes (published: 40), those that the agent finds likeliest, instead of going with the
    likeliest step; of agents of R2R."""
    speaker: Path | None = None
    """With --candidates: the run whose speaker says how well the instruction describes a route [the agent's run]."""
    speaker_weight: float | None = None
    """With --candidates: λ, 0 .. 1; a route's score is λ log P(instruction | route) + (1 - λ) log P(route |
    instruction); at 0 no speaker is asked [0.95]."""

    def search(self) -> "SearchConfig | None":
        from genera.uses.pragmatic import SPEAKER_WEIGHT, SearchConfig

        if self.candidates is None:
            if self.speaker is not None or self.speaker_weight is not None:
                raise GeneraError(
                    "--speaker and --speaker-weight choose among routes; say among how many: --candidates 40."
                )
            return None
        config = SearchConfig(
            candidates=self.candidates,
            speaker=None if self.speaker is None else self.load(self.speaker),
            speaker_weight=SPEAKER_WEIGHT if self.speaker_weight is None else self.speaker_weight,
        )
        config.check()
        return config


def main(arguments: list[str]) -> None:
    if arguments and not arguments[0].startswith("-") and arguments[0] not in ("check", "baseline", "score", "walk"):
        arguments = ["walk", *arguments]  # genera navigate RUN ...
    command: Any = parse(
        Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Baseline, tyro.conf.subcommand("baseline")]
        | Annotated[Score, tyro.conf.subcommand("score")]
        | Annotated[Walk, tyro.conf.subcommand("walk")],  # type: ignore[arg-type]
        arguments,
        "navigate",
    )
    if isinstance(command, Walk) and command.split is None:
        walk(command)
        return
    result = STEPS[type(command)](command)
    if command.json:  # JSON has no infinity: an error that no episode can have is null
        result = {name: None if value == float("inf") else value for name, value in result.items()}
    print_json(result) if command.json else print(as_text(result))


def check(command: Check) -> dict[str, Any]:
    """Counts of the graphs and of each split. Raises GeneraError at the first thing that is wrong."""
    from genera.navigation.helper import Helper

    source = command.source()
    graphs = source.graphs
    found: dict[str, Any] = {
        "data": command.data,
        "scans": len(graphs.scans),
        "viewpoints": len(graphs),
        "excluded": sum(map(len, graphs.excluded)),
        "isolated": int((graphs.degrees == 0).sum()),
        "edges": graphs.edges(),
        **({"routes": len(Helper(graphs, source.routes()).routes)} if source.task == "hanna" else {}),
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
    from genera.navigation.trajectories import write_walks
    from genera.navigation.walkers import AGENTS

    source = command.source()
    table = source.table(command.split, command.supervision)
    paths = AGENTS[command.agent](table, command.seed)
    if command.out is not None:
        write_walks(command.out, table, paths, source.task)
    figures = {}
    if (table.goals[:, 0] >= 0).all():
        figures = _scores(source.task, table, paths)
    else:
        _tell_hidden(command.split, command.out)
    return {**figures, "agent": command.agent, **_about(command, table)}


def score(command: Score) -> dict[str, Any]:
    from genera.navigation.episodes import EpisodeTable
    from genera.navigation.trajectories import read_submission

    source = command.source()
    table = source.table(command.split, command.supervision)
    found = read_submission(command.submission, table, partial=command.split == "train", expand=command.expand)
    table = EpisodeTable(table.graphs, tuple(table.episodes[row] for row in found.rows))
    figures = _scores(source.task, table, found.paths, found.requests)
    return {**figures, "submission": str(command.submission), **_about(command, table)}


def walk(command: Walk) -> None:
    """Print the way of one instruction: where the agent stands, where it looks, which words it heeds."""
    if command.instruction is None or command.scan is None or command.start is None:
        raise GeneraError("give an instruction with --scan and --start; or --split SPLIT, to walk all its episodes.")
    if command.out is not None:
        raise GeneraError("--out is for the walks of a split; give --split SPLIT.")
    found = command.load(command.run).navigate(
        command.instruction,
        scan=command.scan,
        start=command.start,
        heading=command.heading,
        goal=command.goal,
        data=command.data,
        features=command.features,
        search=command.search(),
    )
    print_json(found) if command.json else print(walk_as_text(found))


def walk_as_text(found: dict[str, Any]) -> str:
    """A line a step: the viewpoint, the heading, and the three words most attended to."""
    lines = []
    for step, (viewpoint, heading) in enumerate(zip(found["path"], found["headings"], strict=True)):
        heeded = ""
        if step < len(found.get("attention", ())):
            ranked = sorted(zip(found["attention"][step], found["words"], strict=True), reverse=True)
            heeded = ", ".join(f"{word} {weight:.2f}" for weight, word in ranked[:HEEDED])
        lines.append(f"{step:>3}  {viewpoint:<34} {round(degrees(heading)) % 360:>4}°  {heeded}".rstrip())
    if "requests" in found:
        lines.append(f"help was asked for {found['requests']} times.")
    if "goal_distance" in found:
        lines.append(f"{found['goal_distance']:.2f} m from the goal.")
    return "\n".join(lines)


def walk_split(command: Walk) -> dict[str, Any]:
    """Figures of a trained agent on a split."""
    if command.instruction is not None:
        raise GeneraError("give an instruction or --split, and not both.")
    search = command.search()
    run = command.load(command.run)
    figures = run.navigate_split(
        str(command.split), data=command.data, features=command.features, out=command.out, search=search
    )
    if not figures:
        _tell_hidden(str(command.split), command.out)
    return {**figures, "run": str(command.run), "split": command.split}


def _tell_hidden(split: str, out: Path | None) -> None:
    where = f"written to {out}" if out else "not written; give --out FILE"
    say(f"{split} keeps its goals back: only the benchmark's own server can score the walks, {where}.")


def _scores(task: str, table: "EpisodeTable", paths: Any, requests: Any = None) -> dict[str, Any]:
    from genera.measures.navigation import score, summary

    if not len(table):
        raise GeneraError("the submission answers no episode of this split.")
    return summary(score(task, table, paths, requests))


def _about(command: Baseline | Score, table: "EpisodeTable") -> dict[str, Any]:
    return {"data": command.data, "split": command.split, "episodes": len(table)}


STEPS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Check: check,
    Baseline: baseline,
    Score: score,
    Walk: walk_split,
}


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
