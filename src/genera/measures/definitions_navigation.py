"""Definitions of the figures of navigation. Imports no torch."""

from genera.measures.definition import Definition

_NAVIGATION = "Navigation"
_R2R = "Anderson et al. 2018, Vision-and-language navigation"

NAVIGATION = [
    # Navigation
    Definition(
        "TL",
        "Trajectory length",
        "m",
        "neither",
        "Mean length of the trajectories along the graph.",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "NE",
        "Navigation error",
        "m",
        "lower",
        "Mean distance along the graph from where the agent stopped to the goal. Goals that no way leads to are "
        "left out and counted.",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "SR",
        "Success rate",
        "share",
        "higher",
        "Share of the episodes that end less than 3 m from the goal (HANNA: at most 2 m from the nearest goal).",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "OSR",
        "Oracle success rate",
        "share",
        "higher",
        "Share of the trajectories that pass less than 3 m from the goal, wherever they end.",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "SPL",
        "Success weighted by path length",
        "share",
        "higher",
        "Success times the shortest length over the length walked, if that is longer. The shortest way counts, "
        "not the annotated one.",
        "Anderson et al. 2018, On evaluation of embodied navigation agents",
        _NAVIGATION,
    ),
    Definition(
        "nDTW",
        "Likeness to the reference",
        "share",
        "higher",
        "exp(−DTW / (3 m · nodes of the reference)): 1 for walking the reference itself, by dynamic time warping.",
        "Ilharco et al. 2019, General evaluation for instruction conditioned navigation",
        _NAVIGATION,
    ),
    Definition(
        "SDTW",
        "Successful likeness to the reference",
        "share",
        "higher",
        "nDTW where the episode succeeded, else 0.",
        "Ilharco et al. 2019, General evaluation for instruction conditioned navigation",
        _NAVIGATION,
    ),
    Definition(
        "CLS",
        "Coverage weighted by length score",
        "share",
        "higher",
        "How much of the reference is passed closely, times how well the length fits what was covered.",
        "Jain et al. 2019, Stay on the path",
        _NAVIGATION,
    ),
    Definition(
        "goal_progress",
        "Goal progress",
        "m",
        "higher",
        "Mean metres by which the goal region came nearer; negative for going away.",
        "Thomason et al. 2019, Vision-and-dialog navigation",
        _NAVIGATION,
    ),
    Definition(
        "requests",
        "Help requests",
        "per episode",
        "lower",
        "Mean number of times that the agent asked for help.",
        "Nguyen & Daumé 2019, Help, Anna!",
        _NAVIGATION,
    ),
]
