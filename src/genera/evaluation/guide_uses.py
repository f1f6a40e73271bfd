"""Are guided items good enough to be used? Their labels between chance and what a classifier sees in real items."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from genera.evaluation.verdict import Check, Use, share, verdict
from genera.measures.schema import Estimate, Figure, Figures

GUIDED = Use(
    name="guided items",
    checks=(
        Check(
            measure="true_factor_accuracy",
            question="label",
            worst="chance",
            best=1.0,
            worst_is="chance",
            best_is="every label carried",
            unit="share",
        ),
        Check(
            measure="oracle_accuracy",
            question="label",
            worst="chance",
            best="oracle_own_accuracy",
            worst_is="chance",
            best_is="real items",
            unit="share",
            span=0.05,
        ),
        share("grammatical_guided", "quality", worst_is="none", best_is="all"),
        share("valid_guided", "quality", worst_is="none", best_is="all"),
    ),
    questions=("label",),
    implied_by=("oracle_accuracy",),
    advice={
        "good": "The labels are carried. Read the examples for what the figures do not see: meaning and style.",
        "fair": "Reject the items in which the classifier does not see the label (--sure 0.9), or try --method gan or "
        "a larger --degree.",
        "poor": "The latent may not hold the label: probe it with `genera probe`. Try --method gan or cara, or train "
        "the model longer; --sure 0.9 rejects items in which the classifier does not see the label.",
        "unknown": "Measure more items (--count) on labelled data that the classifier can tell apart.",
    },
    names={
        "true_factor_accuracy": "labels carried in truth",
        "oracle_accuracy": "labels seen by the classifier",
        "grammatical_guided": "grammatical items",
        "valid_guided": "valid items",
    },
)


def judge(measures: Mapping[str, Estimate], chance: float) -> list[dict[str, Any]]:
    """The verdict on guided items, as JSON values. chance: 1 / number of labels."""
    figures = [Figure(name, one.value, one.error, one.n) for name, one in measures.items()]
    asked = measures["oracle_accuracy"].n
    every = Figures([*figures, Figure("chance", chance, None, asked)])
    return [asdict(finding) for finding in verdict(GUIDED)(every)]
