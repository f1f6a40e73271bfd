"""Measures of rollouts: how well they follow instructions, and how they fail. Imports no torch."""

from functools import partial

from genera.measures.schema import Definition

_task = partial(Definition, group="Navigation")
_behaviour = partial(Definition, group="How it navigates")
R2R = "Anderson et al. 2018, Vision-and-language navigation"
_DTW = "Ilharco et al. 2019, General evaluation for instruction conditioned navigation"
_TAN = "Tan et al. 2019, Learning to navigate unseen environments"

TASK = (
    _task("TL", "Trajectory length", "m", "neither", "Mean length of the trajectories along the graph.", R2R),
    _task(
        "NE",
        "Navigation error",
        "m",
        "lower",
        "Mean distance along the graph from where the agent stops to the goal. Episodes whose goal cannot be reached "
        "are left out.",
        R2R,
    ),
    _task(
        "SR",
        "Success rate",
        "share",
        "higher",
        "Share of episodes that end less than 3 m from the goal (HANNA: at most 2 m from the nearest goal).",
        R2R,
        headline=True,
    ),
    _task(
        "OSR",
        "Oracle success rate",
        "share",
        "higher",
        "Share of episodes that come less than 3 m near the goal at any point, wherever they end.",
        R2R,
    ),
    _task(
        "SPL",
        "Success weighted by path length",
        "share",
        "higher",
        "Success times the length of the shortest path over the length walked, where that is longer. The shortest path "
        "counts, not the annotated one.",
        "Anderson et al. 2018, On evaluation of embodied navigation agents",
        headline=True,
    ),
    _task(
        "nDTW",
        "Normalised dynamic time warping",
        "share",
        "higher",
        "exp(−DTW / (3 m · nodes of the reference)), where DTW is the dynamic time warping distance between trajectory "
        "and reference: 1 for walking the reference itself.",
        _DTW,
    ),
    _task(
        "SDTW",
        "Success weighted by nDTW",
        "share",
        "higher",
        "nDTW of episodes that succeed, and 0 of the others.",
        _DTW,
    ),
    _task(
        "CLS",
        "Coverage weighted by length score",
        "share",
        "higher",
        "How closely the trajectory covers the reference, times how well its length fits the part that it covers.",
        "Jain et al. 2019, Stay on the path",
    ),
    _task(
        "goal_progress",
        "Goal progress",
        "m",
        "higher",
        "Mean distance by which the agent gets nearer to the goal region; negative if it moves away.",
        "Thomason et al. 2019, Vision-and-dialog navigation",
        headline=True,
    ),
    _task(
        "requests",
        "Help requests",
        "per episode",
        "lower",
        "Mean number of times that the agent asks for help.",
        "Nguyen & Daumé 2019, Help, Anna!",
    ),
    _task(
        "TL_explored",
        "Trajectory length with search",
        "m",
        "lower",
        "Distance that an agent on foot would walk to search among routes: from each place where it looked around to "
        "the next, and from the last one to the end of the chosen route.",
        _TAN,
    ),
    _task(
        "SPL_explored",
        "SPL with search",
        "share",
        "higher",
        "Success times the length of the shortest path over the trajectory length with search, where that is longer.",
        _TAN,
    ),
)

BEHAVIOUR = (
    _behaviour(
        "SR_gap",
        "Gap of success rate, seen − unseen",
        "share",
        "lower",
        "Success rate in houses of the training set minus that in houses that training never entered: what the agent "
        "has learnt about the houses rather than about navigation.",
    ),
    _behaviour(
        "SPL_gap",
        "Gap of SPL, seen − unseen",
        "share",
        "lower",
        "SPL in houses of the training set minus that in houses that training never entered.",
    ),
    _behaviour(
        "goal_progress_gap",
        "Gap of goal progress, seen − unseen",
        "m",
        "lower",
        "Goal progress in houses of the training set minus that in houses that training never entered.",
    ),
    _behaviour(
        "stopped_early",
        "Stopped early",
        "share",
        "lower",
        "Share of episodes that end away from the goal after less than three quarters of the shortest path to it, "
        "without having reached it before.",
    ),
    _behaviour(
        "passed_by",
        "Passed the goal",
        "share",
        "lower",
        "Share of episodes that reach the goal and end elsewhere: oracle success rate minus success rate.",
    ),
    _behaviour(
        "revisits",
        "Revisits",
        "share",
        "lower",
        "Share of moves that lead to a place where the agent has been before in the same episode.",
    ),
)
