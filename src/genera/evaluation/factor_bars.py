"""The factors of a world, one by one, in the report."""

from collections.abc import Mapping

from genera.evaluation.blocks import Shares
from genera.measures.schema import Estimate


def mean_over_factors(accuracy: Mapping[str, Estimate]) -> Estimate:
    """The unweighted mean over factors."""
    values = [estimate.value for estimate in accuracy.values()]
    return Estimate(sum(values) / len(values), None, sum(estimate.n for estimate in accuracy.values()))


def factor_bars(title: str, accuracy: Mapping[str, Estimate], chance: Mapping[str, float]) -> Shares:
    """A bar for each factor, beside the accuracy of the best answer that ignores the input."""
    return Shares(
        section="Factors",
        title=title,
        lead="How often each factor comes out right. Chance is the best answer that ignores the input.",
        values={
            name: {"right": round(estimate.value, 4), "chance": round(chance[name], 4)}
            for name, estimate in accuracy.items()
        },
        bar="right",
        mark="chance",
    )
