"""Rules of the diagnosis that read figures of navigation. Imports no torch.

Where houses never entered in training were measured too, the rules judge those: what an agent does there it can do.
"""

from collections.abc import Callable, Iterator

from genera.measures.finding import Figures, Finding, evidence

CHANCE = 0.03
"""Success that far above the random agent is not told from it by a few hundred episodes."""


def _of(figures: Figures, name: str) -> tuple[str, float | None]:
    """The figure in unseen houses if there is one, else in seen ones, with its name."""
    name = f"{name}_unseen" if f"{name}_unseen" in figures else name
    return name, figures.get(name)


def _no_better_than_chance(figures: Figures) -> Iterator[Finding]:
    (name, success), (other, chance) = _of(figures, "SR"), _of(figures, "SR_random")
    if success is None or chance is None or success > chance + CHANCE:
        return
    yield Finding(
        "warning",
        f"It navigates no better than chance: success {success:.1%}, and the random agent has {chance:.1%}.",
        evidence(figures, name, other, _of(figures, "SPL")[0]),
        "Train longer, or look whether the loss of the fine-tuning falls at all; with a frozen encoder a higher "
        "learning rate of the agent is safe.",
    )


def _needs_the_instruction(figures: Figures) -> Iterator[Finding]:
    names, values = zip(*(_of(figures, name) for name in ("SR", "SR_shuffled", "SR_random")), strict=True)
    success, shuffled, chance = values
    if success is None or shuffled is None or chance is None or success <= chance + CHANCE:
        return
    used = evidence(figures, *names, _of(figures, "nDTW")[0], _of(figures, "nDTW_shuffled")[0])
    if success - shuffled < 0.25 * (success - chance):
        yield Finding(
            "warning",
            f"It ignores the instruction: with another episode's instruction it succeeds in {shuffled:.1%} of the "
            f"episodes, with its own in {success:.1%}.",
            used,
            "It has learnt where goals tend to be, or the houses by heart. Compare with --agent.r2r.modality vision, "
            "which reads nothing; more instructions (synthesis, back-translation) help.",
        )
    else:
        yield Finding(
            "good",
            f"It needs its instruction: success falls from {success:.1%} to {shuffled:.1%} with another episode's.",
            used,
            "What is left with a wrong instruction is what the houses alone give away.",
        )


def _stops_early(figures: Figures) -> Iterator[Finding]:
    (name, early), (other, success) = _of(figures, "stopped_early"), _of(figures, "SR")
    if early is None or success is None or early <= 0.5 * (1 - success) or early < 0.1:
        return
    yield Finding(
        "warning",
        f"It stops too early: {early:.1%} of the episodes end short of the goal, most of its failures.",
        evidence(figures, name, other, _of(figures, "TL")[0], _of(figures, "NE")[0]),
        "STOP is learnt first, being frequent. Train longer; sampled walks (A2C) are paid for arriving.",
    )


def _passes_by(figures: Figures) -> Iterator[Finding]:
    (name, passed), (other, success) = _of(figures, "passed_by"), _of(figures, "SR")
    if passed is None or success is None or passed < 0.1 or passed < 0.25 * (1 - success):
        return
    yield Finding(
        "warning",
        f"It stops too late: in {passed:.1%} of the episodes it comes to the goal and walks on.",
        evidence(figures, name, other, _of(figures, "OSR")[0], _of(figures, "TL")[0]),
        "It follows the way and does not know the end of it: the last words of the instruction. Look at the attention "
        "of the last steps in the report; more training on the annotated instructions usually helps.",
    )


def _loops(figures: Figures) -> Iterator[Finding]:
    name, share = _of(figures, "revisits")
    if share is None or share < 0.2:
        return
    yield Finding(
        "warning",
        f"It walks in loops: {share:.1%} of its moves lead to a place where it has been before.",
        evidence(figures, name, _of(figures, "TL")[0], _of(figures, "SPL")[0]),
        "It forgets where it came from: see the maps. Sampled walks in training (A2C) teach it to get out of mistakes; "
        "imitation alone never shows it any.",
    )


def _gap(figures: Figures) -> Iterator[Finding]:
    gap, success = figures.get("SR_gap"), figures.get("SR")
    if gap is None or success is None or gap < 0.1:
        return
    yield Finding(
        "note",
        f"It knows the training houses better than others: success {success:.1%} there, {gap:.1%} less in unseen ones.",
        evidence(figures, "SR", "SR_unseen", "SR_gap", "SPL_gap"),
        "Pre-training on synthesised instructions, environmental dropout and fewer steps of fine-tuning narrow this.",
    )


def _action_prediction(figures: Figures) -> Iterator[Finding]:
    (name, accuracy), (other, majority) = _of(figures, "action_accuracy"), _of(figures, "action_majority")
    if accuracy is None or majority is None:
        return
    used = evidence(figures, name, other, _of(figures, "masked_word_nats")[0])
    if accuracy < majority + 0.01:
        yield Finding(
            "warning",
            f"Pre-training has not learnt to act: {accuracy:.1%} of the actions are right, and always the most "
            f"frequent one has {majority:.1%}.",
            used,
            "The ranked label hides the first steps of learning behind its majority class: pre-train longer before "
            "judging, and see the accuracy by class.",
        )
    else:
        yield Finding(
            "good",
            f"Pre-training has learnt to act: {accuracy:.1%} of the actions are right, against {majority:.1%} for "
            "always the most frequent one.",
            used,
            "The instruction and the panorama tell the encoder where to go; whether the agent profits is its success.",
        )


RULES: list[Callable[[Figures], Iterator[Finding]]] = [
    _no_better_than_chance,
    _needs_the_instruction,
    _stops_early,
    _passes_by,
    _loops,
    _gap,
    _action_prediction,
]
