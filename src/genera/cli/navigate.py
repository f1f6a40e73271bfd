"""`genera navigate check|baseline|score`: validate navigation data, run baselines, score submission files.
`genera navigate RUN`: rollouts of a trained agent."""

from dataclasses import dataclass, field
from math import degrees
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.console import say
from genera.errors import GeneraError
from genera.navigation.config import Supervision

if TYPE_CHECKING:
    from genera.navigation.sources import NavigationSource
    from genera.uses.pragmatic import RerankConfig

BaselineAgent: TypeAlias = Literal["stop", "random", "shortest", "straightest"]

TOP_WORDS = 3
"""Number of most attended words printed for each step."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    data: str = "world:houses"
    """r2r:DIR, ndh:DIR, hanna:DIR (episodes and connectivity), world:houses, world:houses-ndh or world:houses-hanna."""
    graphs: Path | None = None
    """Folder or archive of the connectivity files [with the episodes, beside them, or in r2r/ beside them]."""
    strict: bool = True
    """Reject malformed viewpoints. --no-strict drops them with a warning."""
    supervision: Supervision = "trusted"
    """NDH only: the reference path (Oracle, Navigator or Mixed in the published tables)."""
    json: bool = False
    """Print JSON."""

    def source(self) -> "NavigationSource":
        from genera.navigation.sources import open_navigation

        return open_navigation(self.data, self.graphs, self.strict)


@dataclass(frozen=True, kw_only=True)
class Check(DataOptions):
    """Validate and count graphs, episodes and the routes of HANNA's helper."""

    split: str | None = None
    """Only this split [all]."""

    def run(self) -> dict[str, Any]:
        from genera.uses.navigation_data import check_source

        return {"data": self.data, **check_source(self.source(), self.split, self.supervision)}


@dataclass(frozen=True, kw_only=True)
class Baseline(DataOptions):
    """Run an agent that needs no training, and score it."""

    split: str = "val_seen"
    """Split of the episodes."""
    agent: BaselineAgent = "shortest"
    """stop: never moves. random: the random agent of the R2R paper. shortest: follows the shortest path. straightest:
    moves straight ahead five times."""
    seed: int = 0
    """Seed of the random agent."""
    out: Path | None = None
    """Write the trajectories to this file, in the benchmark's submission format."""

    def run(self) -> dict[str, Any]:
        from genera.uses.navigation_data import run_baseline

        source = self.source()
        table = source.table(self.split, self.supervision)
        figures = run_baseline(source, table, self.agent, self.seed, self.out)
        if not figures:
            _tell_hidden_goals(self.split, self.out)
        return {**figures, "agent": self.agent, "data": self.data, "split": self.split, "episodes": len(table)}


@dataclass(frozen=True, kw_only=True)
class Score(DataOptions):
    """Score a submission file: a list of {instr_id, trajectory: [[viewpoint, heading, elevation], ...]}."""

    submission: Positional[Path]
    """The file, plain or .gz."""
    split: str = "val_seen"
    """Split of the submission. It must contain all episodes, except for train."""
    expand: bool = False
    """Fill jumps between non-adjacent viewpoints with the shortest path, instead of rejecting them."""

    def run(self) -> dict[str, Any]:
        from genera.uses.navigation_data import score_submission

        source = self.source()
        table = source.table(self.split, self.supervision)
        partial = self.split == "train"
        figures, episodes = score_submission(source, table, self.submission, partial=partial, expand=self.expand)
        about = {"submission": str(self.submission), "data": self.data, "split": self.split, "episodes": episodes}
        return {**figures, **about}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a single instruction starts."""

    scan: str | None = None
    """The scan (house)."""
    start: str | None = None
    """The start viewpoint."""
    heading: float = 0.0
    """The start heading, in radians clockwise from north."""
    goal: str | None = None
    """The target viewpoint. The output then includes the agent's final distance from it."""


@dataclass(frozen=True, kw_only=True)
class Rerank:
    """Search for candidate routes and re-rank them with a speaker (R2R agents)."""

    candidates: int | None = None
    """Number of candidate routes: the most likely ones with distinct end viewpoints (published: 40) [greedy rollout, no
    search]."""
    speaker: Path | None = None
    """With --candidates: the run whose speaker re-ranks the routes [the agent's run]."""
    speaker_weight: float | None = None
    """With --candidates: λ in 0 .. 1. A route's score is λ log P(instruction | route) + (1 - λ) log P(route |
    instruction). 0 uses no speaker [0.95]."""

    def config(self, options: UseOptions) -> "RerankConfig | None":
        """options: settings for loading the speaker's run."""
        from genera.uses.pragmatic import SPEAKER_WEIGHT, RerankConfig

        if self.candidates is None:
            if self.speaker is not None or self.speaker_weight is not None:
                raise GeneraError("--speaker and --speaker-weight re-rank candidate routes; add --candidates 40.")
            return None
        config = RerankConfig(
            candidates=self.candidates,
            speaker=None if self.speaker is None else options.load(self.speaker),
            speaker_weight=SPEAKER_WEIGHT if self.speaker_weight is None else self.speaker_weight,
        )
        config.check()
        return config


@dataclass(frozen=True, kw_only=True)
class Walk(UseOptions):
    """Run a trained agent on one instruction, or run and score all episodes of a split. `walk` is optional:
    genera navigate RUN ..."""

    run: Positional[Path]
    """The run folder."""
    instruction: Positional[str | None] = None
    """The instruction: "walk past the sofa and stop at the door". For an agent of NDH, the target object."""
    place: OmitArgPrefixes[Place] = field(default_factory=Place)
    split: str | None = None
    """Run all episodes of this split and score them, instead of one instruction."""
    out: Path | None = None
    """With --split: write the trajectories to this file, in the benchmark's submission format."""
    data: str | None = None
    """Take graphs, views and episodes from this source instead of the run's (r2r:DIR, world:houses, ...)."""
    features: Path | None = None
    """The feature file of the views, if it has moved since training [the run's]."""
    rerank: OmitArgPrefixes[Rerank] = field(default_factory=Rerank)


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
        walk = walk_once(command)
        print_json(walk) if command.json else print(walk_as_text(walk))
        return
    result = walk_split(command) if isinstance(command, Walk) else command.run()
    if command.json:  # JSON has no infinity: an error that no episode can have is null
        result = {name: None if value == float("inf") else value for name, value in result.items()}
    print_json(result) if command.json else print(as_text(result))


def walk_once(command: Walk) -> dict[str, Any]:
    place = command.place
    if command.instruction is None or place.scan is None or place.start is None:
        raise GeneraError("give an instruction with --scan and --start, or --split SPLIT to run all its episodes.")
    if command.out is not None:
        raise GeneraError("--out writes the trajectories of a split; add --split SPLIT.")
    return command.load(command.run).navigate(
        command.instruction,
        scan=place.scan,
        start=place.start,
        heading=place.heading,
        goal=place.goal,
        data=command.data,
        features=command.features,
        reranking=command.rerank.config(command),
    )


def walk_split(command: Walk) -> dict[str, Any]:
    if command.instruction is not None:
        raise GeneraError("give either an instruction or --split.")
    split, reranking = str(command.split), command.rerank.config(command)
    figures = command.load(command.run).navigate_split(
        split, data=command.data, features=command.features, out=command.out, reranking=reranking
    )
    if not figures:
        _tell_hidden_goals(split, command.out)
    return {**figures, "run": str(command.run), "split": split}


def _tell_hidden_goals(split: str, out: Path | None) -> None:
    where = f"written to {out}" if out else "not written; give --out FILE"
    say(f"the goals of {split} are not public: only the benchmark's server can score the trajectories, {where}.")


def walk_as_text(walk: dict[str, Any]) -> str:
    """One line for each step: the viewpoint, the heading, and the most attended words."""
    lines = []
    for step, (viewpoint, heading) in enumerate(zip(walk["path"], walk["headings"], strict=True)):
        words = ""
        if step < len(walk.get("attention", ())):
            ranked = sorted(zip(walk["attention"][step], walk["words"], strict=True), reverse=True)
            words = ", ".join(f"{word} {weight:.2f}" for weight, word in ranked[:TOP_WORDS])
        lines.append(f"{step:>3}  {viewpoint:<34} {round(degrees(heading)) % 360:>4}°  {words}".rstrip())
    if "requests" in walk:
        lines.append(f"{walk['requests']} requests for help.")
    if "goal_distance" in walk:
        lines.append(f"{walk['goal_distance']:.2f} m from the goal.")
    return "\n".join(lines)


def as_text(result: dict[str, Any]) -> str:
    """Counts, and figures with their titles and units."""
    from genera.evaluation.registry import definitions

    known = definitions()
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            for split, counts in value.items():
                lines.append(f"  {split:<44} " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))
        elif name in known:
            lines.append(f"  {known[name].title:<44} {value:>12.4f}  {known[name].unit}")
        else:
            lines.append(f"  {name:<44} {value:>12,}" if isinstance(value, int) else f"  {name:<44} {value}")
    return "\n".join(lines)
