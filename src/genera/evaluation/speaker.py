"""Does the speaker write the instructions that people (or the world) wrote?"""

from collections.abc import Mapping, Sequence
from typing import Any

from genera.engine.capabilities import Describes
from genera.evaluation.blocks import Examples, Line
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.navigation_splits import SPLITS, RolloutOptions
from genera.evaluation.navigation_uses import INSTRUCTIONS, TITLES
from genera.evaluation.verdict import verdict
from genera.measures.schema import Definition, Estimate

MEASURES = (
    Definition(
        "speaker_bleu",
        "BLEU of the speaker",
        "0–100",
        "higher",
        "Corpus BLEU-4 of the speaker's greedy instructions against all annotated instructions of each path.",
        "Tan et al. 2019, Learning to navigate unseen environments",
        "Speaker and encoder",
        headline=True,
    ),
    Definition(
        "speaker_bleu_unrelated",
        "BLEU of another path's instruction",
        "0–100",
        "neither",
        "The same of an annotated instruction of another path in place of the speaker's: what a speaker reaches that "
        "does not look at the path.",
        "",
        "Speaker and encoder",
    ),
    Definition(
        "speaker_bleu_annotated",
        "BLEU of another annotation",
        "0–100",
        "neither",
        "The same of one annotated instruction of each path against its others: what the annotators reach, with one "
        "reference fewer.",
        "",
        "Speaker and encoder",
    ),
)


def measure(evaluation: Evaluation, options: RolloutOptions) -> None:
    """Greedy instructions for the paths of the split against all annotated ones of each path."""
    require(evaluation.data.source.task == "r2r", "needs the task r2r, whose paths have several instructions each")

    import numpy as np

    from genera.data.vocabularies.words import split_words
    from genera.evaluation.rollouts import episodes, spread
    from genera.measures.text import multi_reference_bleu

    shown: list[dict[str, Any]] = []
    for split in evaluation.splits:
        table = episodes(evaluation, options, split)
        _, first, path_of = np.unique(
            np.column_stack([table.reference, table.heading]), axis=0, return_index=True, return_inverse=True
        )
        written = evaluation.model.describe(table.reference[first], table.heading[first], data=evaluation.data)
        annotated: list[list[str]] = [[] for _ in first]
        for path, episode in zip(path_of.ravel().tolist(), table.episodes, strict=True):
            annotated[path].append(" ".join(split_words(episode.instruction)))
        bleu = multi_reference_bleu(written, annotated)
        evaluation.record("speaker_bleu", Estimate(bleu, None, len(first)), split=split)
        unrelated = [texts[0] for texts in annotated[1:] + annotated[:1]]
        baseline = multi_reference_bleu(unrelated, annotated)
        evaluation.record("speaker_bleu_unrelated", Estimate(baseline, None, len(first)), split=split)
        several = [texts for texts in annotated if len(texts) > 1]
        if several:
            of_people = multi_reference_bleu([texts[0] for texts in several], [texts[1:] for texts in several])
            evaluation.record("speaker_bleu_annotated", Estimate(of_people, None, len(several)), split=split)
        shown += [
            {"scan": table.episodes[first[i]].scan, "written": written[i], "annotated": annotated[i]}
            for i in spread(len(first))
        ]
    evaluation.show(instruction_cards(shown))


def instruction_cards(instructions: Sequence[Mapping[str, Any]]) -> Examples:
    """A card for each path: scan, what the speaker has written, and all annotated instructions."""
    return Examples(
        section="Instructions",
        lead="What the speaker writes for a path, and what people (or the world) wrote.",
        cards=[
            [
                Line(text=path["scan"], role="house"),
                Line(text=path["written"], role="speaker"),
                *(Line(text=text, role="annotated") for text in path["annotated"]),
            ]
            for path in instructions
        ],
    )


EVALUATOR = Evaluator(
    name="speaker",
    question="Does the speaker write the instructions that people (or the world) wrote?",
    measure=measure,
    measures=MEASURES,
    needs=(Describes,),
    items=("navigation",),
    options_of="navigation",
    rules=(verdict(INSTRUCTIONS, by="split", titles=TITLES),),
    splits=SPLITS,
)
