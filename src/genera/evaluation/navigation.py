"""How well does the agent follow instructions, where does it succeed, and how does it fail?"""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from genera.engine.capabilities import Navigates
from genera.evaluation.blocks import Bars, Block, Curves
from genera.evaluation.evaluator import Evaluation, Evaluator
from genera.evaluation.navigation_measures import BEHAVIOUR, TASK
from genera.evaluation.navigation_splits import SEEN, SPLIT_TITLES, SPLITS, UNSEEN, RolloutOptions, deciding, judged
from genera.evaluation.navigation_uses import ROLLOUTS, TITLES
from genera.evaluation.verdict import name_of, verdict
from genera.measures.schema import Estimate, Figures, Finding, evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genera.measures.navigation import Figures as PerEpisode

FEWEST = 5
"""Episodes of a length or house that are enough to show a mean."""
CHARTED = ("SR", "SPL", "nDTW", "goal_progress")
Breakdown = Mapping[str, Mapping[str, Any]]
"""group → {"episodes": count, figure: mean}"""


def measure(evaluation: Evaluation, options: RolloutOptions) -> None:
    """The task's figures, how the agent fails, and means by length of the reference and by house."""
    import numpy as np

    from genera.evaluation.rollouts import COMPARED, episodes, rollouts, scores
    from genera.measures.estimate import mean_estimate
    from genera.measures.navigation import HANNA_RADIUS, SUCCESS_RADIUS, behaviour, revisits

    radius = HANNA_RADIUS if evaluation.data.source.task == "hanna" else SUCCESS_RADIUS
    means: dict[str, dict[str, Estimate]] = {}
    breakdowns = {}
    for split in evaluation.splits:
        walk = rollouts(evaluation, options, split)
        table, per_episode = episodes(evaluation, options, split), scores(evaluation, options, split)
        failures = behaviour(table, walk.paths, per_episode["SR"], radius)
        finite = {name: values[np.isfinite(values)] for name, values in {**per_episode, **failures}.items()}
        means[split] = {name: mean_estimate(values) for name, values in finite.items() if len(values)}
        means[split]["revisits"] = revisits(walk.paths)
        for name, estimate in means[split].items():
            evaluation.record(name, estimate, split=split)
        breakdowns[split] = {
            "edges": _grouped((table.reference >= 0).sum(axis=1) - 1, per_episode),
            "scan": _grouped(np.array([episode.scan for episode in table.episodes]), per_episode),
        }
    for name in COMPARED:
        seen, unseen = (means.get(split, {}).get(name) for split in (SEEN, UNSEEN))
        if seen and unseen:
            error = None if seen.error is None or unseen.error is None else math.hypot(seen.error, unseen.error)
            evaluation.record(f"{name}_gap", Estimate(seen.value - unseen.value, error, unseen.n))
    evaluation.show(*breakdown_blocks(breakdowns))


def _grouped(groups: "NDArray[Any]", per_episode: "PerEpisode") -> dict[str, dict[str, float]]:
    """Means of the groups that have enough episodes, and how many those are."""
    import numpy as np

    means = {}
    for group in np.unique(groups):
        rows = groups == group
        if rows.sum() >= FEWEST:
            means[str(group)] = {"episodes": int(rows.sum())} | {
                name: float(values[rows].mean()) for name, values in per_episode.items()
            }
    return means


def breakdown_blocks(breakdowns: Mapping[str, Mapping[str, Breakdown]]) -> list[Block]:
    """Figures by the number of edges of the reference, and success in each house.

    breakdowns: split → {"edges": {number of edges: means}, "scan": {house: means}}.
    """
    section = "Where it succeeds"
    blocks: list[Block] = []
    for name in CHARTED:
        series = {
            SPLIT_TITLES.get(split, split): [(float(edges), means[name]) for edges, means in parts["edges"].items()]
            for split, parts in breakdowns.items()
            if all(name in means for means in parts["edges"].values())
        }
        if any(series.values()):
            title = f"{name.replace('_', ' ')} by edges of the reference"
            blocks.append(
                Curves(
                    section=section,
                    title=title,
                    series=series,
                    x="edges of the reference",
                    y=name.replace("_", " "),
                    from_zero=True,
                ),
            )
    for split, parts in breakdowns.items():
        houses = sorted(parts["scan"].items(), key=lambda entry: -entry[1]["SR"])
        if houses:
            labels = [f"{house}: {means['SR']:.1%} of {means['episodes']} episodes" for house, means in houses]
            title = f"SR by house, {SPLIT_TITLES.get(split, split)}"
            values = [means["SR"] for _, means in houses]
            blocks.append(
                Bars(section=section, title=title, values=values, labels=labels, x="house, sorted", y="success rate")
            )
    return blocks


def _rollouts(figures: Figures, measure: str) -> str:
    """The use that a finding about `measure` is about: rollouts in the houses that decide."""
    return name_of(ROLLOUTS, deciding(figures, measure) or "", TITLES)


def stops_early(figures: Figures) -> Iterator[Finding]:
    there = judged(figures, "stopped_early")
    early, success = there.get("stopped_early"), there.get("SR")
    if early is None or success is None or early <= 0.5 * (1 - success) or early < 0.1:
        return
    yield Finding(
        "warning",
        f"The agent stops too early: {early:.1%} of the episodes end short of the goal, most of its failures.",
        evidence(there, "stopped_early", "SR", "TL", "NE"),
        "Agents learn STOP first, because it is frequent. Train longer; training on sampled rollouts (A2C) rewards "
        "arriving.",
        _rollouts(figures, "stopped_early"),
    )


def passes_the_goal(figures: Figures) -> Iterator[Finding]:
    there = judged(figures, "passed_by")
    passed, success = there.get("passed_by"), there.get("SR")
    if passed is None or success is None or passed < 0.1 or passed < 0.25 * (1 - success):
        return
    yield Finding(
        "warning",
        f"The agent stops too late: in {passed:.1%} of the episodes it reaches the goal and walks on.",
        evidence(there, "passed_by", "SR", "OSR", "TL"),
        "It follows the path but misses its end, which the last words of the instruction describe. Look at the "
        "attention of the last steps in the report; more training on annotated instructions usually helps.",
        _rollouts(figures, "passed_by"),
    )


def loops(figures: Figures) -> Iterator[Finding]:
    there = judged(figures, "revisits")
    share = there.get("revisits")
    if share is None or share < 0.2:
        return
    yield Finding(
        "warning",
        f"The agent walks in loops: {share:.1%} of its moves lead to a place where it has been before.",
        evidence(there, "revisits", "TL", "SPL"),
        "It does not remember where it came from: see the floor plans. Training on sampled rollouts (A2C) teaches it "
        "to recover from mistakes; imitation alone never shows it any.",
        _rollouts(figures, "revisits"),
    )


def gap_between_houses(figures: Figures) -> Iterator[Finding]:
    gap, success = figures.get("SR_gap"), figures.get(f"SR/{SEEN}")
    if gap is None or success is None or gap < 0.1:
        return
    yield Finding(
        "note",
        f"The agent does better in the training houses: its success rate is {success:.1%} there and {gap:.1%} less in "
        "unseen houses.",
        evidence(figures, f"SR/{SEEN}", f"SR/{UNSEEN}", "SR_gap", "SPL_gap"),
        "Houses that training never entered are harder, and no way of pre-training measured so far narrows the gap. "
        "Synthesised instructions raise both rates where annotated ones are overfitted, and leave the gap (see the "
        "Prevalent card). Routes re-ranked by a speaker (genera navigate --candidates 5 --speaker RUN) help in unseen "
        "houses.",
    )


EVALUATOR = Evaluator(
    name="navigation",
    question="How well does the agent follow instructions, where does it succeed, and how does it fail?",
    measure=measure,
    measures=(*TASK, *BEHAVIOUR),
    needs=(Navigates,),
    items=("navigation",),
    options=RolloutOptions,
    rules=(verdict(ROLLOUTS, by="split", titles=TITLES), stops_early, passes_the_goal, loops, gap_between_houses),
    splits=SPLITS,
)
