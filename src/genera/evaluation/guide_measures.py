"""Measures of guided generation, which `genera guide --score` takes. Imports no torch."""

from genera.measures.schema import Definition

GROUP = "Guided generation"
OPTIMUS = "Li et al. 2020, Optimus"

_MEASURES = (
    Definition(
        "oracle_accuracy",
        "Label seen by a classifier",
        "share",
        "higher",
        "Share of guided samples in which a classifier (logistic regression on TF-IDF or pixels) sees the label that "
        "was asked for. It learns from labelled items that the guide never saw; chance is one over their labels.",
        OPTIMUS,
        GROUP,
    ),
    Definition(
        "oracle_own_accuracy",
        "The classifier's own accuracy",
        "share",
        "neither",
        "How often that classifier is right about real test items: a guide is judged no better than by this judge.",
        "",
        GROUP,
    ),
    Definition(
        "true_factor_accuracy",
        "Label carried in truth",
        "share",
        "higher",
        "Share of guided samples whose factor has the value that was asked for, read off by the world itself. "
        "A sample that the world cannot have made carries nothing.",
        "",
        GROUP,
    ),
    Definition(
        "grammatical_guided",
        "Grammatical guided samples",
        "share",
        "higher",
        "Share of guided samples that the world could have said.",
        "",
        GROUP,
    ),
    Definition(
        "valid_guided",
        "Valid guided samples",
        "share",
        "higher",
        "Share of guided images that are images of the world.",
        "",
        GROUP,
    ),
    Definition(
        "bleu_guided",
        "BLEU against the test set",
        "0–100",
        "higher",
        "Mean BLEU-4 of each guided sample with all test items as its references: does it sound like the data? Rises "
        "with the number of test items: compare equal numbers.",
        "Papineni et al. 2002; " + OPTIMUS,
        GROUP,
    ),
    Definition(
        "g_score",
        "G-score",
        "share",
        "higher",
        "Geometric mean of the label seen by a classifier and of BLEU against the test set (as a share): steering "
        "must not cost fluency.",
        OPTIMUS,
        GROUP,
    ),
    Definition(
        "self_bleu_guided",
        "Self-BLEU of guided samples",
        "0–100",
        "lower",
        "Mean BLEU-4 of each guided sample against all others of its label, averaged over labels: high when they "
        "repeat each other. Rises with their number: compare equal numbers.",
        "Zhu et al. 2018, Texygen",
        GROUP,
    ),
)
GUIDE_MEASURES = {known.name: known for known in _MEASURES}
