"""`genera score RUN FILE`: the perplexity of each line, or its last word."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from genera.cli.items import lines
from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.console import say
from genera.errors import GeneraError

COLUMNS = ("line", "nats", "tokens", "words", "ppl_token", "ppl_word", "problem")


@dataclass(frozen=True, kw_only=True)
class Score(UseOptions):
    """The perplexity of each line of a file under a model of text, as tab-separated values, and that of the file.

    A model with a latent gives an upper bound. A line that the model cannot read has the reason in the last column.
    """

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    file: Positional[Path]
    """One text per line, plain or .gz; - reads standard input."""
    last_word: bool = False
    """Instead: whether the model, given all words but the last, writes the last word greedily (as LAMBADA)."""
    detokenise: Literal["ptb", "wikitext"] | None = None
    """Read tokenised lines (Penn Treebank, WikiText) as ordinary text; words and bytes are those of the lines."""
    samples: int = 100
    """Importance samples of a model with a latent."""
    seed: int = 0
    """Random seed of these."""


def main(arguments: list[str]) -> None:
    command = parse(Score, arguments, "score")
    texts = lines((), command.file)
    run = command.load(command.run)
    from genera.uses.scoring import last_words, score_lines, total_of

    if command.last_word:
        if command.detokenise:
            raise GeneraError("--detokenise does not apply to --last-word; drop one of them.")
        _show_last_words(command, *last_words(run, texts), texts)
        return
    scores = score_lines(run, texts, samples=command.samples, seed=command.seed, detokenise=command.detokenise)
    total = total_of(scores)
    rows = [{name: getattr(one, name) for name in COLUMNS} for one in scores]
    if command.json:
        print_json({"lines": rows, "total": asdict(total)})
        return
    _print_rows(COLUMNS, rows)
    per_token = "" if total.ppl_token is None else f"{total.ppl_token:,.4g} per token, "
    say(
        f"{total.lines:,} lines: perplexity {per_token}{total.ppl_word:,.4g} per word; "
        f"{total.nats / total.lines:.4g} nats per line, {total.bits_per_byte:.4g} bits per byte."
    )
    if total.unread:
        unread = [str(one.line) for one in scores if one.nats is None]
        shown = ", ".join(unread[:10]) + (", …" if len(unread) > 10 else "")
        say(f"not scored: {total.unread:,} lines ({shown}); the column `problem` says why.")


def _show_last_words(command: Score, right: list[bool], nats: list[float], texts: list[str]) -> None:
    from genera.measures.likelihood import perplexity

    total = {"lines": len(right), "accuracy": sum(right) / len(right), "perplexity": perplexity(sum(nats), len(nats))}
    words = [text.rsplit(maxsplit=1)[-1] for text in texts]
    names = ("line", "right", "nats", "word")
    rows = [
        dict(zip(names, row, strict=True)) for row in zip(range(1, len(right) + 1), right, nats, words, strict=True)
    ]
    if command.json:
        print_json({"lines": rows, "total": total})
        return
    _print_rows(names, rows)
    say(
        f"{total['lines']:,} lines: {total['accuracy']:.1%} of the last words are written, "
        f"their perplexity is {total['perplexity']:,.4g}."
    )


def _print_rows(names: Iterable[str], rows: list[dict[str, Any]]) -> None:
    print("\t".join(names))
    for row in rows:
        print("\t".join(map(_cell, row.values())))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
