"""A text corpus ready for training: source → reading rules → tokenisers → stores, cached by content."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from genera.console import say, track
from genera.data.batch import Batch
from genera.data.cache import build_once, cache_folder
from genera.data.streams import Bucketed
from genera.data.text.batches import TextBatch, text_stream
from genera.data.text.config import DataConfig, TokenConfig
from genera.data.text.packing import Packed, PackedBatch
from genera.data.text.sources import parse_source
from genera.data.text.store import TokenStore
from genera.data.text.tokenising import ABOUT, Recipe, check_shards, training_texts
from genera.data.vocabularies.special_tokens import SpecialTokens, saved_as
from genera.data.vocabularies.tokenisers import Kind, Tokeniser, Tokenisers, sketch
from genera.errors import GeneraError, unknown
from genera.files import read_json

_FORMAT = "2"  # of the cached files; increase it to invalidate older folders
TEXTS_COMPARED = 10_000
"""Texts in which words that a trimmed vocabulary breaks up are counted."""
MANY_IN_PIECES = 0.05
"""Share of such words that is worth a warning."""


@dataclass(frozen=True)
class TextCorpus:
    """Tokenised train, valid and test texts, for models with an encoder and a decoder."""

    kind: ClassVar[str] = "text"
    assets_type: ClassVar[type[Tokenisers]] = Tokenisers
    has_encoder: ClassVar[bool] = True

    tokenisers: Tokenisers
    stores: Mapping[str, TokenStore]
    """by split"""
    world: Any
    """the world that the texts are drawn from, or None"""
    label_names: tuple[str, ...]
    """the names of labels 0, 1, …; empty without labels"""
    bucket_noise: float
    """of training batches; see `Bucketed`"""
    context: int | None
    """tokens of a packed block, or None; see `Packed`"""
    _about: dict[str, Any]

    @classmethod
    def open(cls, config: DataConfig, assets: Tokenisers | None = None, *, whole: bool = False) -> Self:
        """Read the data of `config`, from the cache (`cache_folder()`) if possible; a large source in shards.

        assets: tokenisers of an existing run; None loads or trains the tokenisers that `config` names.
        whole: hold nothing out, for example to evaluate a whole file; see `Dataset.open`.
        Raises GeneraError when the data cannot be read or no training text is left.
        """
        recipe = cls._recipe(config, assets, whole)
        build_once(recipe.folder, recipe.write)
        about = read_json(recipe.folder / ABOUT)
        check_shards(about.get("shards", ()), recipe)
        items = ", ".join(f"{count:,} {split}" for split, count in about["items"].items())
        drops = ", ".join(f"{count:,} {reason}" for reason, count in about["dropped"].items())
        say(f"{config.data}: {items} texts; dropped {drops}.")
        stores = {split: TokenStore(recipe.folder / split) for split in about["items"]}
        if assets is not None:
            check_trimming(assets, config, lambda: next(iter(stores.values())).texts(slice(TEXTS_COMPARED)))
        return cls(
            tokenisers=recipe.tokenisers,
            stores=stores,
            world=recipe.source.world,
            label_names=tuple(about["label_names"]),
            bucket_noise=config.bucket_noise,
            context=getattr(config, "context", None),
            _about=about,
        )

    @classmethod
    def tokenise(
        cls, config: DataConfig, assets: Tokenisers | None = None, *, rank: int = 0, ranks: int = 1, workers: int = 1
    ) -> dict[str, Any]:
        """Prepare what `open` reads: of a large source, this rank's missing shards, in `workers` processes.

        Whichever rank finds all shards complete joins them. Returns the number of shards, of those that are complete,
        and the folder and items once there is one. Raises GeneraError as `open` does.
        """
        recipe = cls._recipe(config, assets, whole=False)
        if plan := None if recipe.folder.exists() else recipe.plan():
            plan.tokenise(rank, ranks, workers)
            done = sum(folder.exists() for folder in plan.folders)
            if done < plan.count:
                return {"shards": plan.count, "complete": done}
        elif rank and not recipe.folder.exists():  # a small source is not shared
            return {"shards": 1, "complete": 0}
        corpus = cls.open(config, assets)
        count = len(corpus._about.get("shards", ())) or 1
        return {"shards": count, "complete": count, "folder": str(recipe.folder), "items": corpus._about["items"]}

    @classmethod
    def _recipe(cls, config: DataConfig, assets: Tokenisers | None, whole: bool) -> Recipe:
        if config.encoder_tokeniser is not None and not cls.has_encoder:
            raise GeneraError("this model has no encoder; omit --encoder-tokeniser.")
        source = parse_source(config.data, config.text_column, config.label_column)
        content = (_FORMAT, source.fingerprint(), None if whole else config.limit, config.max_words, whole)
        tokenisers = assets or cls.tokenisers_for(config, whole=whole)
        encoder_json = None if tokenisers.encoder is None else tokenisers.encoder.to_json()
        key = hash_of(*content, config.max_tokens, encoder_json, tokenisers.decoder.identity)
        return Recipe(source, config, whole, tokenisers, key)

    @classmethod
    def tokenisers_for(cls, config: DataConfig, *, whole: bool = False) -> Tokenisers:
        """The tokenisers that `config` names, trimmed if it says so; others are trained on its texts and cached."""
        source = parse_source(config.data, config.text_column, config.label_column)
        content = (_FORMAT, source.fingerprint(), None if whole else config.limit, config.max_words, whole)

        def texts() -> Iterator[str]:
            return training_texts(source, config, whole)

        special = config.special_tokens
        return tokenisers_of(config, texts, content, encoder=cls.has_encoder, special_tokens=special)

    @property
    def assets(self) -> Tokenisers:
        """What a model needs to be used without its data."""
        return self.tokenisers

    @property
    def train(self) -> TokenStore:
        return self.stores["train"]

    @property
    def valid(self) -> TokenStore:
        return self.stores["valid"]

    @property
    def test(self) -> TokenStore:
        return self.stores["test"]

    @property
    def splits(self) -> tuple[str, ...]:
        """Train, valid and test; for data opened whole, the named splits of the source, or `WHOLE`."""
        return tuple(self.stores)

    def split(self, name: str) -> TokenStore:
        """Raises GeneraError for a split that this data does not have."""
        if name not in self.stores:
            raise unknown("split of this data", name, self.stores)
        return self.stores[name]

    def size(self, split: str) -> int:
        return len(self.split(split))

    def items(self, split: str, count: int) -> list[str]:
        """The first `count` texts of a split, in source order."""
        return self.split(split).texts(slice(count))

    def labels(self, split: str, count: int) -> list[str] | None:
        """The label names of `items(split, count)`; None if the data has no labels."""
        labels = self.split(split).labels
        return None if labels is None else [self.label_names[label] for label in labels[:count]]

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Bucketed:
        """Shuffled batches of a split; `batch_size` is the global batch size."""
        return text_stream(
            self.split(split),
            pad=self.tokenisers.decoder.pad,
            batch=batch_size,
            seed=seed,
            noise=self.bucket_noise,
            rank=rank,
            ranks=ranks,
        )

    @classmethod
    def sketch(cls, config: DataConfig, batch_size: int) -> tuple[Tokenisers, TextBatch]:
        """Tokenisers of the right sizes and a batch of texts with `max_tokens` tokens, without reading data."""
        encoder = sketch("wordpiece", config.encoder_tokeniser, config.vocabulary) if cls.has_encoder else None
        decoder = sketch("bpe", config.decoder_tokeniser, config.vocabulary, config.special_tokens)
        ids = torch.ones(batch_size, config.max_tokens, dtype=torch.int64)
        batch = TextBatch(
            ids=ids[:, 0],
            encoder=None if encoder is None else ids,
            decoder=ids,
            length=torch.full((batch_size,), config.max_tokens),
            labels=None,
            per_target=torch.full((batch_size,), 1 / (config.max_tokens - 1)),
        )
        return Tokenisers(encoder, decoder), batch

    def report(self, batch: int) -> dict[str, Any]:
        """Items, words and decoder tokens of each split, dropped texts by reason, vocabulary sizes, and the share of
        padding in training batches of `batch`."""
        encoder, decoder = self.tokenisers.encoder, self.tokenisers.decoder
        sizes = {"encoder": None if encoder is None else encoder.size, "decoder": decoder.size}
        return {
            **{name: self._about[name] for name in ("items", "words", "tokens", "dropped")},
            "vocabulary": sizes,
            "padding_share": self.stream("train", batch, seed=0).padding_share,
        }


class DecoderCorpus(TextCorpus):
    """Tokenised texts for models with only a decoder, one a row or packed (`--context`)."""

    has_encoder = False

    def stream(  # type: ignore[override]
        self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1
    ) -> Bucketed | Packed:
        """As of TextCorpus. With `context`, a held-out split that cannot fill the batch gives smaller batches, and one
        that cannot fill a block gives a shorter block."""
        if self.context is None:
            return super().stream(split, batch_size, seed=seed, rank=rank, ranks=ranks)
        documents, tokeniser = self.split(split).decoder, self.tokenisers.decoder
        shared, context = tokeniser.bos == tokeniser.eos, self.context
        if split != "train":
            tokens = int(documents.lengths().sum()) - shared * len(documents) - 1
            context = max(1, min(context, tokens // ranks))
            batch_size = min(batch_size, tokens // context // ranks * ranks)
        return Packed(documents, context=context, shared=shared, batch=batch_size, seed=seed, rank=rank, ranks=ranks)

    @classmethod
    def sketch(cls, config: DataConfig, batch_size: int) -> tuple[Tokenisers, Batch]:  # type: ignore[override]
        if (context := getattr(config, "context", None)) is None:
            return super().sketch(config, batch_size)
        assets, batch = super().sketch(replace(config, max_tokens=context + 1), batch_size)
        return assets, PackedBatch(ids=batch.ids, tokens=batch.decoder)


# -- tokenisers -------------------------------------------------------------------------------------------------------


def tokenisers_of(
    config: TokenConfig,
    texts: Callable[[], Iterator[str]],
    content: object,
    *,
    encoder: bool = True,
    special_tokens: SpecialTokens = "append",
) -> Tokenisers:
    """The tokenisers named in `config`, or trained on `texts()` and cached under `content`, which identifies them.

    special_tokens: of the decoder's.
    """
    decoder = _tokeniser("bpe", config.decoder_tokeniser, config, texts, content, special_tokens)
    if config.trim_vocabulary:
        decoder = _trimmed(decoder, texts, content)
    return Tokenisers(
        encoder=_tokeniser("wordpiece", config.encoder_tokeniser, config, texts, content) if encoder else None,
        decoder=decoder,
    )


def _trimmed(whole: Tokeniser, texts: Callable[[], Iterator[str]], content: object) -> Tokeniser:
    folder = cache_folder() / f"trimmed-{hash_of(content, whole.identity)}"
    build_once(folder, lambda f: whole.trimmed(track(texts(), "trimming the vocabulary")).save(f))
    trimmed = Tokeniser.load(folder, "bpe", saved_as(folder))
    say(f"the decoder's vocabulary is trimmed to {trimmed.size:,} of {whole.size:,} tokens.")
    return trimmed


def check_trimming(assets: Tokenisers, config: TokenConfig, texts: Callable[[], Iterable[str]]) -> None:
    """Say how many words of the first `texts()` the trimmed vocabulary of a run breaks up, and the whole one does not.
    Raises GeneraError where `config` asks to trim the vocabulary of a run that has a whole one."""
    if config.trim_vocabulary and assets.decoder.trimming is None:
        raise GeneraError(
            "--trim-vocabulary cannot trim the vocabulary of a run (--init); trim it on import: genera import METHOD "
            "--trim-vocabulary SOURCE."
        )
    if assets.decoder.trimming is None:
        return
    if share := share_in_pieces(assets.decoder, islice(texts(), TEXTS_COMPARED)):
        warning = "warning: " if share > MANY_IN_PIECES else ""
        say(
            f"{warning}{share:.1%} of the words fall into smaller pieces, since the vocabulary was trimmed to another "
            "corpus."
        )


def share_in_pieces(tokeniser: Tokeniser, texts: Iterable[str]) -> float:
    """Share of the words in `texts` that have more tokens than before the vocabulary was trimmed."""
    counts = Counter(word for text in texts for word in text.split())
    words = list(counts)
    sides = (tokeniser.encode_batch(words), tokeniser.whole.encode_batch(words))
    broken = sum(counts[w] for w, now, before in zip(words, *sides, strict=True) if len(now) > len(before))
    return broken / max(1, counts.total())


def _tokeniser(
    kind: Kind,
    where: str | None,
    config: TokenConfig,
    texts: Callable[[], Iterator[str]],
    content: object,
    special_tokens: SpecialTokens = "append",
) -> Tokeniser:
    if where is not None:
        return Tokeniser.load(where, kind, special_tokens)

    def build(folder: Path) -> None:
        progress = lambda: track(texts(), f"learning a vocabulary ({kind})")  # noqa: E731
        Tokeniser.train(kind, progress, config.vocabulary, special_tokens=special_tokens).save(folder)

    own = ("own",) if special_tokens == "own" else ()
    folder = cache_folder() / f"{kind}-{hash_of(content, config.vocabulary, *own)}"
    build_once(folder, build)
    return Tokeniser.load(folder, kind, special_tokens)


def hash_of(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
