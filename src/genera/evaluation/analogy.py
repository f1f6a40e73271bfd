"""Evaluator `analogy`: A is to B as C is to what? Decodes z_C + z_B − z_A."""

from dataclasses import dataclass
from typing import Any

from genera.engine.capabilities import Decodes, Encodes
from genera.evaluation.evaluator import Evaluation, Evaluator, Options, require
from genera.evaluation.factor_bars import factor_bars, mean_over_factors
from genera.evaluation.item_types import ITEM_TYPES, Shown, in_parts, item_type
from genera.measures.schema import Definition

SHOWN = 24
"""Analogies kept for the report."""
_GROUP = "Interpolation and analogy"


@dataclass(frozen=True, kw_only=True)
class AnalogyOptions(Options):
    count: int = 1000
    """Number of analogies with one factor changed, if the world can create them; without a world, only examples."""


MEASURES = (
    Definition(
        "factor_accuracy_analogy",
        "Factor moved by analogy",
        "share",
        "higher",
        "Share of analogies A : B :: C : ? whose output has the new value of the factor in which A and B differ.",
        "",
        _GROUP,
        headline=True,
    ),
    Definition(
        "analogy_exact",
        "Analogies solved exactly",
        "share",
        "higher",
        "Share of analogies whose output equals the expected sentence: the factor changed and nothing else did.",
        "",
        _GROUP,
        headline=True,
    ),
)


def measure(evaluation: Evaluation, options: AnalogyOptions) -> None:
    """Analogies with one factor changed, scored where a world knows the answer; otherwise only examples."""
    kind, world = item_type(evaluation.data.kind), evaluation.data.world
    asked = [] if not hasattr(world, "analogies") else _asked(evaluation, options.count)
    if asked:
        triples = [(question.a, question.b, question.c) for question in asked]
    else:
        items = evaluation.items(3 * SHOWN)
        triples = [(items[i], items[i + 1], items[i + 2]) for i in range(0, len(items) - 2, 3)]
    require(triples, "needs at least three items")
    mean = evaluation.run.encode([item for triple in triples for item in triple]).mean.view(len(triples), 3, -1)
    a, b, c = mean.unbind(1)
    outputs = in_parts(evaluation.run.decode, c + b - a, "analogies", **kind.decoding(evaluation.run))
    if asked:
        _against_truth(evaluation, outputs, asked)
    cards = []
    for number, (triple, output) in enumerate(zip(triples[:SHOWN], outputs, strict=False)):
        card = [Shown(role, item, anew=role == "C") for role, item in zip("ABC", triple, strict=True)]
        if asked:
            answer = asked[number].answer
            right = kind.same(output, answer)
            card.append(Shown("output", output, right))
            if not right:
                card.append(Shown(f"expected ({asked[number].factor})", answer, anew=True))
        else:
            card.append(Shown("output", output))
        cards.append(card)
    lead = "A is to B as C is to what? The output is decoded from z_C + z_B − z_A."
    kind.show(evaluation, "analogies", cards, section="Analogies", lead=lead, compare=True)


def _asked(evaluation: Evaluation, count: int) -> list[Any]:
    return evaluation.data.world.analogies(count, seed=evaluation.seed, split=evaluation.split)


def _against_truth(evaluation: Evaluation, outputs: list[Any], asked: list[Any]) -> None:
    from genera.measures.estimate import mean_estimate
    from genera.measures.factors import analogy_accuracy, analogy_chance
    from genera.uses.facts import facts_of

    kind, world = item_type(evaluation.data.kind), evaluation.data.world
    answers, changed = [question.answer for question in asked], [question.factor for question in asked]
    made, wanted = facts_of(outputs, world), facts_of(answers, world)
    assert made is not None
    assert wanted is not None
    targets = [facts for facts in wanted if facts is not None]  # all of them: the world made the answers
    accuracy = analogy_accuracy(made, targets, changed)
    exact = [kind.same(output, answer) for output, answer in zip(outputs, answers, strict=True)]
    evaluation.record("analogy_exact", mean_estimate(exact))
    evaluation.record("factor_accuracy_analogy", mean_over_factors(accuracy))
    evaluation.show(factor_bars("Moved by analogy", accuracy, analogy_chance(targets, changed)))


EVALUATOR = Evaluator(
    name="analogy",
    question="Do differences of latents carry over from one item to another?",
    measure=measure,
    measures=MEASURES,
    needs=(Encodes, Decodes),
    items=tuple(ITEM_TYPES),
    options=AnalogyOptions,
)
