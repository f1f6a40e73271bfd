"""Texts of a source → tokens on disk: the reading rules, and large sources in shards.

A source of several pieces (large files, many files, the files of a hub data set) is tokenised piece by piece, each into
a cached folder of its own: by any number of ranks and processes, in any order, and after a kill only what is missing.
The rows are those of the source in its order, as one process alone would write them.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from genera.console import progress_bar
from genera.data.cache import build_once, cache_folder, damage
from genera.data.splits import SPLITS, WHOLE, HeldOut
from genera.data.text.config import DataConfig
from genera.data.text.items import Divisible, Item, Piece
from genera.data.text.sources import TextSource, parse_source
from genera.data.text.store import StoreWriter, join
from genera.data.vocabularies.classes import label_order
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError
from genera.files import read_json, write_json

ABOUT = "corpus.json"
SHARD = 1 << 26
"""Bytes of source text in a shard: about a minute of one core."""
LONGEST_TOKEN = 256
"""Characters of a token at most. A text with more characters per allowed token is dropped without being tokenised,
which takes long for a word of megabytes."""
_CHUNK = 4096
COUNTS = ("items", "words", "tokens")


# -- reading ----------------------------------------------------------------------------------------------------------


class Reading:
    """The reading rules of a corpus, and what they dropped."""

    def __init__(self, config: DataConfig, whole: bool) -> None:
        self.config, self.whole = config, whole
        self.empty, self.long = "empty", f"over {config.max_words} words"
        self.unfit = f"over {config.max_tokens} tokens"
        self.dropped = Counter(dict.fromkeys((self.empty, self.long, self.unfit), 0))
        self.seen = self.train = 0
        self.first_long: tuple[int, int] | None = None
        """its number among the texts, and its words"""

    def kept(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items that pass; counts dropped ones by reason."""
        config = self.config
        for item in items:
            self.seen += 1
            if not item.text:
                self.dropped[self.empty] += 1
            elif (words := len(item.text.split())) > config.max_words:
                self.dropped[self.long] += 1
                self.first_long = self.first_long or (self.seen, words)
            elif len(item.text) > LONGEST_TOKEN * config.max_tokens:
                self.dropped[self.unfit] += 1
            elif self.whole:
                self.train += 1
                yield item
            elif item.split != "train":
                yield item
            elif config.limit is None or self.train < config.limit:
                self.train += 1
                yield item

    def all_kept(self, source: TextSource) -> Iterator[Item]:
        """The items of a whole source that pass. Raises GeneraError as `check` does."""
        yield from self.kept(source.items(self.whole))
        self.check()

    def check(self) -> None:
        """Raise GeneraError when no training item was left (for whole data: no item at all)."""
        if self.train:
            return
        dropped, seen, config = self.dropped, self.seen, self.config
        if dropped[self.empty] == seen:
            raise GeneraError(f"{config.data} has only empty lines; one text per line was expected.")
        if dropped[self.long] + dropped[self.empty] == seen:
            number, words = self.first_long or (0, 0)
            raise GeneraError(
                f"all texts of {config.data} have more than {config.max_words} words (text {number} has "
                f"{words:,}); raise --max-words."
            )
        if dropped[self.long] + dropped[self.empty] + dropped[self.unfit] == seen:
            raise GeneraError(f"all texts of {config.data} have more than --max-tokens {config.max_tokens} tokens.")
        raise GeneraError(f"{config.data} has too few texts ({seen}): none is left for training.")

    def check_tokens(self, items: dict[str, int]) -> None:
        """Raise GeneraError when no training item (for whole data: none at all) is short enough in tokens."""
        if not (sum(items.values()) if self.whole else items["train"]):
            raise GeneraError(
                f"all {'' if self.whole else 'training '}texts of {self.config.data} have more than --max-tokens "
                f"{self.config.max_tokens} tokens; raise --max-tokens."
            )


def training_texts(source: TextSource, config: DataConfig, whole: bool) -> Iterator[str]:
    """The texts that a vocabulary is learnt from."""
    return (item.text for item in Reading(config, whole).all_kept(source) if item.split in ("train", WHOLE))


# -- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """A corpus to be tokenised."""

    source: TextSource
    config: DataConfig
    whole: bool
    tokenisers: Tokenisers
    key: str
    """of everything that the rows depend on"""

    @property
    def folder(self) -> Path:
        """In the cache: train/, valid/, test/ (see TokenStore) and corpus.json."""
        return cache_folder() / f"text-{self.key}"

    def write(self, folder: Path) -> None:
        """Write it into `folder`; a large source in shards, of which those that are complete are used."""
        if plan := self.plan():
            plan.tokenise()
            plan.join(folder)
            return
        reading = Reading(self.config, self.whole)
        items = reading.all_kept(self.source)
        first = next(items)
        splits, labelled = _splits(self.source, self.whole), first.label is not None
        about = _write(folder, chain([first], items), reading, splits, self.tokenisers, labelled)
        reading.check_tokens(about["items"])
        write_json(folder / ABOUT, about)

    def plan(self) -> "Plan | None":
        """How to tokenise it in shards; None for a source that is small, has a limit, or has no text to keep.

        Reads its beginning, until no more can be held out of it.
        """
        source, config, whole = self.source, self.config, self.whole
        large = any(isinstance(part, Divisible) and len(part.pieces(SHARD)) > 1 for part in source.parts)
        if not large or (config.limit is not None and not whole):
            return None
        pieces, held_out = source.pieces(SHARD), source.held_out(whole)
        items = chain.from_iterable(source.items_of(*piece, held_out, whole) for piece in pieces)
        first = next(Reading(config, whole).kept(items), None)
        if first is None:
            return None
        labelled = first.label is not None
        return Plan(config, whole, self.tokenisers, self.key, labelled, held_out, SHARD, len(pieces))


def _splits(source: TextSource, whole: bool) -> tuple[str, ...]:
    return (source.splits or (WHOLE,)) if whole else SPLITS


def _write(
    folder: Path,
    items: Iterator[Item],
    reading: Reading,
    splits: Sequence[str],
    tokenisers: Tokenisers,
    labelled: bool,
) -> dict[str, Any]:
    """Write a TokenStore for each split, in one pass. Returns the counts of items, words and tokens by split, of what
    was dropped, and the names of the labels."""
    label_ids: dict[str, int] = {}
    sides = {"decoder": tokenisers.decoder}
    if tokenisers.encoder is not None:
        sides["encoder"] = tokenisers.encoder
    with ExitStack() as stack:
        writers = {split: stack.enter_context(StoreWriter(folder / split, tokenisers, labelled)) for split in splits}
        bar = stack.enter_context(progress_bar())
        task = bar.add_task("tokenising", total=None)
        while chunk := list(islice(items, _CHUNK)):
            encoded = {side: t.encode_batch([item.text for item in chunk]) for side, t in sides.items()}
            fits = [max(map(len, rows)) <= reading.config.max_tokens for rows in zip(*encoded.values(), strict=True)]
            reading.dropped[reading.unfit] += fits.count(False)
            for split, writer in writers.items():
                rows = [i for i, item in enumerate(chunk) if fits[i] and item.split == split]
                labels = [label_ids.setdefault(chunk[i].label or "", len(label_ids)) for i in rows]
                ids = {side: [every[i] for i in rows] for side, every in encoded.items()}
                writer.add([chunk[i].text for i in rows], ids, labels if labelled else None)
            bar.advance(task, len(chunk))
        names = label_order(label_ids)
        place = {name: i for i, name in enumerate(names)}
        for writer in writers.values():
            writer.close([place[name] for name in label_ids])
    return {
        **{what: {s: getattr(w, what) for s, w in writers.items()} for what in COUNTS},
        "dropped": dict(reading.dropped),
        "label_names": names if labelled else [],
    }


# -- shards -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """A large source in shards."""

    config: DataConfig
    whole: bool
    tokenisers: Tokenisers
    key: str
    labelled: bool
    held_out: tuple[HeldOut | None, ...]
    size: int
    """bytes of source text in a shard"""
    count: int

    @cached_property
    def source(self) -> TextSource:
        return parse_source(self.config.data, self.config.text_column, self.config.label_column)

    @cached_property
    def pieces(self) -> list[tuple[int, Piece]]:
        return self.source.pieces(self.size)

    @property
    def folders(self) -> list[Path]:
        """In the cache; complete where they exist."""
        return [cache_folder() / f"text-{self.key}-{self.size}-{number:05d}" for number in range(self.count)]

    def tokenise(self, rank: int = 0, ranks: int = 1, workers: int = 1) -> None:
        """Write the missing ones of every `ranks`-th shard from `rank` on, in `workers` processes."""
        mine = range(rank, self.count, ranks)
        missing = [number for number in mine if not self.folders[number].exists()]
        with progress_bar() as bar:
            task = bar.add_task("tokenising shards", total=len(mine), completed=len(mine) - len(missing))
            if workers > 1 and len(missing) > 1:
                for done in _in_processes(replace(self), missing, workers):
                    bar.update(task, completed=len(mine) - len(missing) + done)
                return
            for number in missing:
                self.write(number)
                bar.advance(task)

    def write(self, number: int) -> None:
        """Write a shard, unless it exists undamaged."""
        build_once(self.folders[number], lambda folder: self._write(folder, number))

    def _write(self, folder: Path, number: int) -> None:
        reading = Reading(self.config, self.whole)
        items = reading.kept(self.source.items_of(*self.pieces[number], self.held_out, self.whole))
        splits = _splits(self.source, self.whole)
        about = _write(folder, items, reading, splits, self.tokenisers, self.labelled)
        counts = {"seen": reading.seen, "train": reading.train, "first_long": reading.first_long}
        write_json(folder / ABOUT, about | counts)

    def join(self, folder: Path) -> None:
        """Write the folder of the whole corpus, which reads texts and ids from the shards."""
        abouts = [read_json(shard / ABOUT) for shard in self.folders]
        reading = Reading(self.config, self.whole)
        for about in abouts:
            if about["first_long"] and not reading.first_long:
                reading.first_long = (reading.seen + about["first_long"][0], about["first_long"][1])
            reading.seen, reading.train = reading.seen + about["seen"], reading.train + about["train"]
            reading.dropped.update(about["dropped"])
        reading.check()
        splits = _splits(self.source, self.whole)
        totals = {what: {split: sum(about[what][split] for about in abouts) for split in splits} for what in COUNTS}
        reading.check_tokens(totals["items"])
        names = label_order(dict.fromkeys(chain.from_iterable(about["label_names"] for about in abouts)))
        place = {name: i for i, name in enumerate(names)}
        labels = [[place[name] for name in about["label_names"]] for about in abouts]
        for split in splits:
            join(folder / split, [shard / split for shard in self.folders], labels)
        shards = [shard.name for shard in self.folders]
        write_json(
            folder / ABOUT,
            {**totals, "dropped": dict(reading.dropped), "label_names": names, "shards": shards},
        )


def check_shards(names: Sequence[str], recipe: Recipe) -> None:
    """Write those shards of a corpus again that are missing or damaged."""
    paths = [cache_folder() / name for name in names]
    if broken := [number for number, path in enumerate(paths) if not path.exists() or damage(path)]:
        again = recipe.plan()
        if again is None or again.folders != paths:
            raise GeneraError(f"{paths[broken[0]]} is missing or damaged; delete the folder of the corpus beside it.")
        for number in broken:
            again.write(number)


def _in_processes(plan: Plan, numbers: list[int], workers: int) -> Iterator[int]:
    """Write shards in processes; yields how many are done. Raises GeneraError when one fails, after ending the others.
    What they have finished is kept."""
    context = get_context("spawn")
    errors = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(plan, numbers[first::workers], os.getpid(), errors), daemon=True)
        for first in range(min(workers, len(numbers)))
    ]
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            for process in processes:
                process.join(0.2)
                if process.exitcode:
                    raise GeneraError(
                        f"a tokenising process ended with code {process.exitcode}; rerun the command to resume."
                        if errors.empty()
                        else errors.get()
                    )
            yield sum(plan.folders[number].exists() for number in numbers)
    finally:
        for process in processes:
            process.terminate()


def _work(plan: Plan, numbers: list[int], parent: int, errors: Any) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    for number in numbers:
        if os.getppid() != parent:  # killed
            return
        try:
            plan.write(number)
        except GeneraError as error:
            errors.put(str(error))
            raise SystemExit(1) from None
