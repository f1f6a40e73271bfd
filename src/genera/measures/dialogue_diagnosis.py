"""Plain-words findings about responses. Imports no torch."""

from collections.abc import Callable, Iterator

from genera.measures.finding import Figures, Finding, evidence


def _impossible(figures: Figures) -> Iterator[Finding]:
    nats, floor = figures.get("response_nats"), figures.get("response_floor")
    if nats is not None and floor is not None and nats < floor - max(0.1, 0.05 * floor):
        yield Finding(
            "warning",
            f"The likelihood is impossible: {nats:.2f} nats a response, below the world's entropy of {floor:.2f}.",
            evidence(figures, "response_nats", "response_floor"),
            "The model saw what it should predict, or likelihood is counted wrongly. Trust no figure of this run.",
        )


def _relevance(figures: Figures) -> Iterator[Finding]:
    lost = figures.get("response_lost_on_swap")
    if lost is None:
        return
    used = evidence(figures, "response_lost_on_swap", "valid_responses", "bleu_precision")
    if lost < 0.5:
        yield Finding(
            "warning",
            f"The responses do not depend on what was said: another context costs {lost:.2f} nats.",
            used,
            "Train longer or on more dialogues; the decoder learns common responses first, and contexts last.",
        )
    elif lost > 3:
        yield Finding(
            "good",
            f"The responses depend on what was said: another context costs {lost:.1f} nats.",
            used,
            "Read the examples: likelihood says that the context counts, not that the responses make sense.",
        )


def _variety(figures: Figures) -> Iterator[Finding]:
    across = figures.get("distinct_2_across")
    if across is not None and across < 0.2:
        yield Finding(
            "warning",
            f"The responses to a context are alike: {across:.0%} of their pairs of words differ.",
            evidence(figures, "distinct_2_across", "bleu_recall", "bleu_precision"),
            "Sample at a higher --temperature or --top-p; recall and variety say nothing about greedy responses.",
        )


def _validity(figures: Figures) -> Iterator[Finding]:
    share, covered = figures.get("valid_responses"), figures.get("valid_covered")
    if share is not None and share >= 0.9:
        more = "" if covered is None else f", and they cover {covered:.0%} of what could be said"
        yield Finding(
            "good",
            f"{share:.0%} of the responses are right{more}.",
            evidence(figures, "valid_responses", "valid_covered"),
            "The world's truth was learned for contexts that training never showed.",
        )


RULES: list[Callable[[Figures], Iterator[Finding]]] = [_impossible, _relevance, _variety, _validity]
