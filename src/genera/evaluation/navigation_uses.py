"""How the diagnosis judges navigation: rollouts, the predictions of pre-training, the instructions of a speaker."""

from genera.evaluation.navigation_splits import SEEN, UNSEEN
from genera.evaluation.verdict import Check, Use

TITLES = {SEEN: "in seen houses", "valid": "in seen houses", UNSEEN: "in unseen houses", "train": "in training"}
"""Split → words after the name of a use."""
CHANCE = 0.03
"""A few hundred episodes cannot tell success rates apart that differ by less."""

ROLLOUTS = Use(
    name="rollouts",
    checks=(
        Check(
            measure="SR",
            question="success",
            worst="SR_random",
            worst_is="random agent",
            also=(("stopping at once", "SR_stop"),),
            best="SR_shortest",
            best_is="shortest path",
            unit="share",
            good=0.6,
            poor=0.2,
            span=CHANCE,
        ),
        Check(
            measure="goal_progress",
            question="success",
            worst="goal_progress_random",
            worst_is="random agent",
            also=(("stopping at once", "goal_progress_stop"),),
            best="goal_progress_shortest",
            best_is="shortest path",
            good=0.6,
            poor=0.1,
            span=0.5,
        ),
        Check(
            measure="SR_shuffled",
            question="use of the instruction",
            worst="SR",
            worst_is="with its own instruction",
            best="SR_random",
            best_is="random agent",
            unit="share",
            good=0.5,
            poor=0.25,
            span=CHANCE,
            falls=True,
            advice="The agent ignores the instruction. It has learnt where goals tend to be, or has memorised the "
            "houses. Compare with --agent.r2r.modality vision, which reads no instruction.",
        ),
    ),
    questions=("success", "use of the instruction"),
    names={
        "SR": "success rate",
        "goal_progress": "goal progress",
        "SR_shuffled": "success rate with another episode's instruction",
    },
    advice={
        "good": "The success that remains with another episode's instruction is what the houses alone give away.",
        "fair": "The report shows by length and house where it fails, and the words attended to at each step.",
        "poor": "Train longer, or check whether the fine-tuning loss falls at all; with a frozen encoder, the agent "
        "can take a higher learning rate.",
        "unknown": "Run every evaluator of navigation (random, shuffled) on at least 100 episodes.",
    },
)

PREDICTIONS = Use(
    name="predictions of pre-training",
    checks=(
        Check(
            measure="action_accuracy",
            question="actions",
            worst="action_majority",
            worst_is="the most frequent action",
            best=1.0,
            best_is="all",
            unit="share",
            good=0.6,
            poor=0.1,
            advice="Early in training, the encoder predicts little but the majority class. Pre-train longer before you "
            "judge, and look at the accuracy by class. Where the seen houses are better by far, it has overfitted: "
            "more (also synthesised) instructions help against that.",
        ),
        Check(
            measure="masked_words_right",
            question="words",
            worst="masked_words_majority",
            worst_is="the most frequent word",
            best=1.0,
            best_is="all",
            unit="share",
            good=0.6,
            poor=0.2,
        ),
    ),
    questions=("actions", "words"),
    names={"action_accuracy": "actions predicted", "masked_words_right": "masked words predicted"},
    advice={
        "good": "Panorama and instruction tell the encoder where to go; success rates show whether the agent profits.",
        "fair": "Success rates show whether the agent profits.",
        "poor": "Pre-train longer.",
        "unknown": "Runs of before this version did not record the words; pre-train again to judge them.",
    },
)

INSTRUCTIONS = Use(
    name="instructions of the speaker",
    checks=(
        Check(
            measure="speaker_bleu",
            question="likeness",
            worst="speaker_bleu_unrelated",
            worst_is="annotation of another path",
            best="speaker_bleu_annotated",
            best_is="another annotation of the path",
            least=20,
            span=3.0,
        ),
    ),
    questions=("likeness",),
    names={"speaker_bleu": "BLEU of the speaker"},
    advice={
        "good": "BLEU counts common words, not whether a listener arrives: follow the instructions with an agent too.",
        "fair": "Read the instructions in the report; BLEU does not see whether left and right are confused.",
        "poor": "Train the speaker longer, or on more instructions; synthesised ones would be no better than these.",
        "unknown": "It needs paths with several annotated instructions each.",
    },
)
