"""Evaluator `style`: are responses in the style of the training's style sentences?"""

from genera.engine.capabilities import Responds
from genera.evaluation.evaluator import Evaluation, Evaluator, require
from genera.evaluation.responses import GROUP, ResponsesOptions, generated
from genera.measures.schema import Definition

TEXTS = 5000
"""Maximum number of sentences of each class that the style classifier is trained on."""
MEASURES = (
    Definition(
        "style_ngram",
        "Style of responses, by n-grams",
        "probability",
        "higher",
        "Mean probability that a response is a style sentence and not an ordinary response, by a classifier of "
        "words and word pairs.",
        "Gao et al. 2019, StyleFusion",
        GROUP,
    ),
    Definition(
        "style_ngram_references",
        "Style of real responses, by n-grams",
        "probability",
        "neither",
        "Baseline: the same of ordinary real responses.",
        "",
        GROUP,
    ),
    Definition(
        "style_ngram_style",
        "Style of style sentences, by n-grams",
        "probability",
        "neither",
        "Reference: the same of held-out style sentences.",
        "",
        GROUP,
    ),
)


def measure(evaluation: Evaluation, options: ResponsesOptions) -> None:
    """The style of responses, real responses and style sentences, by a classifier of n-grams."""
    import numpy as np

    from genera.measures.classifiers import TfidfClassifier
    from genera.measures.estimate import mean_estimate

    data = evaluation.data
    require(data.style is not None, "needs sentences in a style: --style SOURCE")
    splits = {*data.splits} & {*data.style.splits}
    require({"train", "test"} <= splits, "needs a training and a test split of both the data and its style")
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
    question="Are responses in the style of the training's style sentences?",
    measure=measure,
    measures=MEASURES,
    needs=(Responds,),
    items=("dialogues",),
    options_of="responses",
)
