"""Parallel texts ready for training: source → one tokeniser of all languages → stores → batches by tokens or rows."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from genera.console import progress_bar, say, track
from genera.data.batch import Batch
from genera.data.cache import build_once, cache_folder
from genera.data.parallel.config import ParallelConfig
from genera.data.parallel.sources import Columns, ParallelItem, ParallelTexts, parse_parallel
from genera.data.splits import SPLITS, WHOLE
from genera.data.streams import Bucketed, Draw, TokenBudget
from genera.data.text.batches import gather
from genera.data.text.corpus import hash_of
from genera.data.text.store import StoreWriter, TokenStore
from genera.data.text.tokenising import LONGEST_TOKEN
from genera.data.vocabularies.classes import ClassNames
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers, sketch
from genera.errors import GeneraError, unknown
from genera.files import read_json, write_json

_FORMAT = "1"  # of the cached files; increase it to invalidate older folders
_CHUNK = 4096
_SIDES = ("source", "target")


class Pair(NamedTuple):
    source: str
    target: str
    source_language: str
    target_language: str


@dataclass(frozen=True)
class ParallelAssets:
    """What a translation model needs to be used without its data."""

    tokeniser: Tokeniser
    """byte-level BPE, `<BOS> x <EOS>`, for all languages"""
    languages: ClassNames

    def save(self, folder: Path) -> None:
        """Write `folder`/tokenizer.json and languages.json."""
        self.tokeniser.save(folder)
        self.languages.save(folder, "languages.json")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises GeneraError when `folder` is not what `save` wrote."""
        return cls(Tokeniser.load(folder, "bpe"), ClassNames.load(folder, "languages.json"))


@dataclass
class ParallelBatch(Batch):
    """B texts and their translations."""

    source: Tensor
    """(B, S) int64 ids `<BOS> x <EOS>`, right-padded with `<PAD>`"""
    target: Tensor
    """(B, T) int64 ids `<BOS> y <EOS>`, right-padded with `<PAD>`"""
    source_language: Tensor
    """(B,) int64 indices into `ParallelAssets.languages`"""
    target_language: Tensor
    """(B,) int64"""
    weight: Tensor
    """(B,) rows of the global batch / its predicted target tokens. The mean over rows of weighted token sums is then
    the mean over all tokens, for any number of ranks and accumulated parts"""


@dataclass(frozen=True)
class ParallelStore:
    """One split: two stores with aligned rows, whose labels are the languages."""

    source: TokenStore
    target: TokenStore

    @classmethod
    def open(cls, folder: Path) -> Self:
        return cls(*(TokenStore(folder / side) for side in _SIDES))

    def __len__(self) -> int:
        return len(self.source)

    def languages(self, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """(B,) int64 each, of source and target."""
        assert self.source.labels is not None
        assert self.target.labels is not None
        return self.source.labels[rows].astype(np.int64), self.target.labels[rows].astype(np.int64)


@dataclass(frozen=True)
class ParallelCorpus:
    """Train, valid and test pairs, tokenised."""

    kind: ClassVar[str] = "parallel"
    assets_type: ClassVar[type[ParallelAssets]] = ParallelAssets

    config: ParallelConfig
    assets: ParallelAssets
    stores: Mapping[str, ParallelStore]
    """by split"""

    @classmethod
    def open(cls, config: ParallelConfig, assets: ParallelAssets | None = None, *, whole: bool = False) -> Self:
        """Read the data of `config`, from the cache (`cache_folder()`) if possible.

        assets: those of an existing run; None loads or trains a tokeniser and numbers the languages.
        whole: hold nothing out, for example to evaluate a whole file; see `Dataset.open`.
        Raises GeneraError when the data cannot be read, has a language missing from `assets`, or has no training pair.
        """
        columns = Columns(config.source_column, config.target_column, config.source_language, config.target_language)
        source = parse_parallel(config.data, columns)
        content = (_FORMAT, source.fingerprint(), None if whole else config.limit, whole)
        tokeniser = assets.tokeniser if assets else _tokeniser(source, config, whole, content)
        known = assets.languages.names if assets else None
        folder = cache_folder() / f"parallel-{hash_of(*content, config.max_tokens, known, tokeniser.to_json())}"
        build_once(folder, lambda temporary: _build(temporary, source, config, whole, tokeniser, known))

        about = read_json(folder / "corpus.json")
        counts = ", ".join(f"{count:,} {split}" for split, count in about["items"].items())
        drops = ", ".join(f"{count:,} {reason}" for reason, count in about["dropped"].items())
        say(f"{config.data}: {counts} pairs of {', '.join(about['directions'])}; dropped {drops}.")
        return cls(
            config=config,
            assets=ParallelAssets(tokeniser, ClassNames(tuple(about["languages"]))),
            stores={split: ParallelStore.open(folder / split) for split in about["items"]},
        )

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.stores)

    def split(self, name: str) -> ParallelStore:
        """Raises GeneraError for a split that this data does not have."""
        if name not in self.stores:
            raise unknown("split of this data", name, self.stores)
        return self.stores[name]

    def size(self, split: str) -> int:
        return len(self.split(split))

    def items(self, split: str, count: int) -> list[Pair]:
        """The first `count` pairs of a split, in source order."""
        store, names = self.split(split), self.assets.languages.names
        first = slice(count)
        languages = ([names[i] for i in side] for side in store.languages(first))
        texts = store.source.texts(first), store.target.texts(first)
        return [Pair(*row) for row in zip(*texts, *languages, strict=True)]

    def labels(self, split: str, count: int) -> None:
        return None

    def stream(
        self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1
    ) -> TokenBudget | Bucketed:
        """Batches of up to `batch_tokens` tokens, with a multiple of `batch_size` pairs; if 0, of `batch_size`."""
        store = self.split(split)
        lengths = np.stack([side.decoder.lengths() for side in (store.source, store.target)], axis=1)
        collate = partial(_batch, store, self.assets.tokeniser.pad)
        if self.config.batch_tokens:
            return TokenBudget(
                lengths,
                budget=self.config.batch_tokens,
                multiple=batch_size,
                seed=seed,
                rank=rank,
                ranks=ranks,
                collate=collate,
                kind="pairs",
            )
        return Bucketed(
            lengths[:, 1],
            batch=batch_size,
            seed=seed,
            noise=self.config.bucket_noise,
            rank=rank,
            ranks=ranks,
            collate=collate,
            kind="pairs",
            padded=list(lengths.T),
        )

    @classmethod
    def sketch(cls, config: ParallelConfig, batch_size: int) -> tuple[ParallelAssets, ParallelBatch]:
        """Assets of the right sizes and a batch of pairs with `max_tokens` tokens, without reading data."""
        rows = max(1, config.batch_tokens // config.max_tokens // batch_size) * batch_size
        ids, zeros = torch.ones(rows, config.max_tokens, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64)
        assets = ParallelAssets(sketch("bpe", config.tokeniser, config.vocabulary), ClassNames(("src", "tgt")))
        return assets, ParallelBatch(zeros, ids, ids, zeros, zeros + 1, torch.ones(rows))


def _batch(store: ParallelStore, pad: int, draw: Draw) -> ParallelBatch:
    source, target = (gather(side.decoder, draw.rows, draw.mine, pad) for side in (store.source, store.target))
    source_language, target_language = map(torch.from_numpy, store.languages(draw.mine))
    predicted = int(store.target.decoder.lengths(draw.rows).sum()) - len(draw.rows)
    weight = torch.full((len(draw.mine),), len(draw.rows) / predicted)
    return ParallelBatch(torch.from_numpy(draw.mine), source, target, source_language, target_language, weight)


# -- reading ----------------------------------------------------------------------------------------------------------


def _kept(source: ParallelTexts, config: ParallelConfig, whole: bool, dropped: Counter[str]) -> Iterator[ParallelItem]:
    """Pairs with text on both sides, with at most `limit` training pairs. Counts pairs with an empty side."""
    train = 0
    for item in source.items(whole):
        if not item.source or not item.target:
            dropped[_reasons(config)[0]] += 1
        elif max(len(item.source), len(item.target)) > LONGEST_TOKEN * config.max_tokens:
            dropped[_reasons(config)[1]] += 1
        elif whole or item.split != "train" or config.limit is None or train < config.limit:
            train += item.split == "train"
            yield item


def _reasons(config: ParallelConfig) -> tuple[str, str]:
    return "empty on one side", f"over {config.max_tokens} tokens"


def _tokeniser(source: ParallelTexts, config: ParallelConfig, whole: bool, content: object) -> Tokeniser:
    if config.tokeniser is not None:
        return Tokeniser.load(config.tokeniser, "bpe")

    def texts() -> Iterator[str]:
        for item in _kept(source, config, whole, Counter()):
            if item.split in ("train", WHOLE):
                yield item.source
                yield item.target

    def build(folder: Path) -> None:
        Tokeniser.train("bpe", lambda: track(texts(), "learning a joint vocabulary"), config.vocabulary).save(folder)

    folder = cache_folder() / f"joint-bpe-{hash_of(content, config.vocabulary)}"
    build_once(folder, build)
    return Tokeniser.load(folder, "bpe")


def _build(
    folder: Path,
    source: ParallelTexts,
    config: ParallelConfig,
    whole: bool,
    tokeniser: Tokeniser,
    known: tuple[str, ...] | None,
) -> None:
    """Write SPLIT/source, SPLIT/target (see TokenStore) and corpus.json into `folder`, in one pass."""
    dropped: Counter[str] = Counter(dict.fromkeys(_reasons(config), 0))
    directions: Counter[str] = Counter()
    places: dict[str, int] = {}
    splits = (source.splits or (WHOLE,)) if whole else SPLITS
    tokenisers = Tokenisers(None, tokeniser)
    with ExitStack() as stack:
        writers = {
            split: [stack.enter_context(StoreWriter(folder / split / side, tokenisers, True)) for side in _SIDES]
            for split in splits
        }
        bar = stack.enter_context(progress_bar())
        task = bar.add_task("tokenising", total=None)
        items = _kept(source, config, whole, dropped)
        while chunk := list(islice(items, _CHUNK)):
            texts = [[getattr(item, side) for item in chunk] for side in _SIDES]
            ids = [tokeniser.encode_batch(side) for side in texts]
            fits = [max(map(len, rows)) <= config.max_tokens for rows in zip(*ids, strict=True)]
            dropped[_reasons(config)[1]] += fits.count(False)
            for split, sides in writers.items():
                rows = [i for i, item in enumerate(chunk) if fits[i] and item.split == split]
                for writer, side, words, encoded in zip(sides, _SIDES, texts, ids, strict=True):
                    languages = [getattr(chunk[i], f"{side}_language") for i in rows]
                    labels = [places.setdefault(language, len(places)) for language in languages]
                    writer.add([words[i] for i in rows], {"decoder": [encoded[i] for i in rows]}, labels)
                directions.update(f"{chunk[i].source_language}-{chunk[i].target_language}" for i in rows)
            bar.advance(task, len(chunk))
        names = known or tuple(sorted(places))
        for language in places:
            if language not in names:
                raise unknown(f"language of {config.data} (the run was trained on others):", language, names)
        for writer in (writer for sides in writers.values() for writer in sides):
            writer.close([names.index(language) for language in places])
    if not (sum(directions.values()) if whole else writers["train"][0].items):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise GeneraError(f"{config.data} has no {'' if whole else 'training '}pair left: dropped {reasons}.")
    write_json(
        folder / "corpus.json",
        {
            "items": {split: sides[0].items for split, sides in writers.items()},
            "tokens": {split: [writer.tokens for writer in sides] for split, sides in writers.items()},
            "languages": names,
            "directions": dict(sorted(directions.items())),
            "dropped": dict(dropped),
        },
    )
