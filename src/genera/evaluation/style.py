"""Evaluator `style`: are the responses in the style that the model was taught?"""

from genera.engine.capabilities import Responds
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.responses import GROUP, ResponsesOptions, generated
from genera.measures.schema import Definition

TEXTS = 5000
"""Sentences of each class that the classifier of style learns from, at most."""
MEASURES = (
    Definition(
        "style_ngram",
        "Style of responses, by n-grams",
        "probability",
        "higher",
        "Mean probability that a response is in the style rather than an ordinary one, by a classifier of words and "
        "pairs of words.",
        "Gao et al. 2019, StyleFusion",
        GROUP,
    ),
    Definition(
        "style_ngram_references",
        "The same of the references",
        "probability",
        "neither",
        "What ordinary responses score for the style: the floor.",
        "",
        GROUP,
    ),
    Definition(
        "style_ngram_style",
        "The same of the style itself",
        "probability",
        "neither",
        "What held-out sentences in the style score for it: the ceiling.",
        "",
        GROUP,
    ),
)


def measure(evaluation: Evaluation, options: ResponsesOptions) -> None:
    """How much the responses are in the style, by a classifier of n-grams."""
    import numpy as np

    from genera.measures.classifiers import TfidfClassifier
    from genera.measures.estimate import mean_estimate

    data = evaluation.data
    require(data.style is not None, "needs sentences in a style: --style SOURCE")
    splits = {*data.splits} & {*data.style.splits}
    require({"train", "test"} <= splits, "needs training and test data, which this data and its style have not both")
    ordinary, styled = data.responses("train")[:TEXTS], data.style.items("train", TEXTS)
    classes = np.repeat([0, 1], [len(ordinary), len(styled)])
    classifier = TfidfClassifier([*ordinary, *styled]).fit(np.arange(len(classes)), classes)
    texts = {
        "style_ngram": [text for each in generated(evaluation, options) for text in each],
        "style_ngram_references": data.responses(evaluation.split)[:TEXTS],
        "style_ngram_style": data.style.items("test", TEXTS),
    }
    for name, of in texts.items():
        evaluation.record(name, mean_estimate(classifier.probabilities(of)[:, 1]))


EVALUATOR = Evaluator(
    name="style",
    question="Are the responses in the style that the model was taught?",
    measure=measure,
    measures=MEASURES,
    needs=(Responds,),
    items=("dialogues",),
    options_of="responses",
)
