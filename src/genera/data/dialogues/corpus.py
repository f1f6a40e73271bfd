"""Dialogues ready for training: source → tokenisers → stores, cached by content; optionally with style sentences."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from genera.console import progress_bar, say
from genera.data.cache import build_once, cache_folder
from genera.data.dialogues.batches import DialogueAssets, DialogueBatch, DialogueStore, dialogue_stream
from genera.data.dialogues.config import DialogueConfig
from genera.data.dialogues.sources import Dialogue, DialogueSource, dialogues_of, parse_dialogues
from genera.data.splits import SPLITS, WHOLE
from genera.data.streams import Bucketed
from genera.data.text.config import DataConfig
from genera.data.text.corpus import TextCorpus, check_trimming, hash_of, tokenisers_of
from genera.data.text.sources import parse_source
from genera.data.text.store import StoreWriter
from genera.data.vocabularies.tokenisers import Tokenisers, sketch
from genera.errors import GeneraError, unknown
from genera.files import read_json, write_json

_FORMAT = "2"  # of the cached files; increase it to invalidate older folders
_CHUNK = 512


@dataclass(frozen=True)
class Exchange:
    """A context and all its reference responses."""

    context: tuple[str, ...]
    """its turns, oldest first"""
    references: tuple[str, ...]


@dataclass(frozen=True)
class DialogueCorpus:
    """Train, valid and test dialogues as exchanges (a context and its response)."""

    kind: ClassVar[str] = "dialogues"
    assets_type: ClassVar[type[DialogueAssets]] = DialogueAssets

    assets: DialogueAssets
    stores: dict[str, DialogueStore]
    """by split"""
    style: TextCorpus | None
    """style sentences, if any"""
    world: Any
    """the world that the dialogues are drawn from, or None"""
    bucket_noise: float
    """of training batches; see `Bucketed`"""

    @classmethod
    def open(cls, config: DialogueConfig, assets: Tokenisers | None = None, *, whole: bool = False) -> Self:
        """Read the data of `config`, from the cache (`cache_folder()`) if possible.

        assets: tokenisers of an existing run; None loads or trains the tokenisers that `config` names.
        whole: hold nothing out, for example to evaluate a whole file; see `Dataset.open`.
        Raises GeneraError when the data cannot be read or no exchange is left to train on.
        """
        source = parse_dialogues(config.data)
        limit = None if whole else config.limit
        content = [_FORMAT, source.fingerprint(), limit, whole]
        if config.style:
            content.append(parse_source(config.style).fingerprint())
        tokenisers = assets or tokenisers_of(config, lambda: _texts(source, config, whole), content)
        if assets is not None:
            check_trimming(assets, config, lambda: _texts(source, config, whole))
        limits_of_context = config.max_turns, config.max_context_tokens
        dialogue_assets = DialogueAssets(tokenisers.encoder, tokenisers.decoder, *limits_of_context)
        encoder, decoder = dialogue_assets.encoder, dialogue_assets.decoder
        assert encoder is not None
        limits = (config.max_turns, config.max_words, config.max_tokens)
        key = hash_of(content, limits, encoder.to_json(), decoder.to_json())
        folder = cache_folder() / f"dialogues-{key}"
        build_once(folder, lambda temporary: _build(temporary, source, config, whole, dialogue_assets))

        about = read_json(folder / "corpus.json")
        items = ", ".join(f"{count:,} {split}" for split, count in about["exchanges"].items())
        drops = ", ".join(f"{count:,} {reason}" for reason, count in about["dropped"].items())
        say(f"{config.data}: {items} exchanges of {about['dialogues']:,} dialogues; dropped responses: {drops}.")
        style = None
        if config.style:
            limits_of_style = {name: getattr(config, name) for name in ("limit", "max_words", "max_tokens")}
            texts = DataConfig(data=config.style, **limits_of_style)
            style = TextCorpus.open(texts, dialogue_assets)
        return cls(
            assets=dialogue_assets,
            stores={split: DialogueStore.open(folder / split) for split in about["exchanges"]},
            style=style,
            world=source.world,
            bucket_noise=config.bucket_noise,
        )

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.stores)

    def split(self, name: str) -> DialogueStore:
        """Raises GeneraError for a split that this data does not have."""
        if name not in self.stores:
            raise unknown("split of this data", name, self.stores)
        return self.stores[name]

    def size(self, split: str) -> int:
        return len(self.split(split))

    def items(self, split: str, count: int) -> list[Exchange]:
        """The first `count` distinct contexts of a split with all their responses, in source order."""
        store = self.split(split)
        turns = store.turns.texts()
        responses_to: dict[tuple[str, ...], list[str]] = {}
        for first, stop, response in store.exchanges.tolist():
            context = tuple(turns[first:stop])
            if context in responses_to or len(responses_to) < count:
                responses_to.setdefault(context, []).append(turns[response])
        return [Exchange(context, tuple(dict.fromkeys(responses))) for context, responses in responses_to.items()]

    def responses(self, split: str) -> list[str]:
        """The response of every exchange of a split."""
        store = self.split(split)
        return store.turns.texts(np.asarray(store.exchanges[:, 2]))

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Bucketed:
        """Shuffled batches of a split; `batch_size` is the global batch size."""
        return dialogue_stream(
            self.split(split),
            self.assets,
            style=None if self.style is None else self.style.split(split if split in self.style.splits else "test"),
            batch=batch_size,
            seed=seed,
            noise=self.bucket_noise,
            rank=rank,
            ranks=ranks,
        )

    @classmethod
    def sketch(cls, config: DialogueConfig, batch_size: int) -> tuple[DialogueAssets, DialogueBatch]:
        """Assets of the right sizes and a batch of contexts and responses of maximum length, without reading data."""
        assets = DialogueAssets(
            sketch("wordpiece", config.encoder_tokeniser, config.vocabulary),
            sketch("bpe", config.decoder_tokeniser, config.vocabulary),
            config.max_turns,
            config.max_context_tokens,
        )
        context = torch.ones(batch_size, config.max_context_tokens, dtype=torch.int64)
        ids = torch.ones(batch_size, config.max_tokens, dtype=torch.int64)
        style = ids if config.style else None
        return assets, DialogueBatch(ids[:, 0], context, context, ids, ids, style, style)


# -- reading ----------------------------------------------------------------------------------------------------------


def _kept(source: DialogueSource, config: DialogueConfig, whole: bool) -> Iterator[Dialogue]:
    """All dialogues except training dialogues beyond the first `config.limit`."""
    if whole:
        yield from dialogues_of(source, whole)
        return
    train = 0
    for dialogue in dialogues_of(source):
        train += dialogue.split == "train"
        if dialogue.split != "train" or config.limit is None or train <= config.limit:
            yield dialogue


def _texts(source: DialogueSource, config: DialogueConfig, whole: bool) -> Iterator[str]:
    """The texts that tokenisers are trained on: training turns and training style sentences."""
    for dialogue in _kept(source, config, whole):
        if dialogue.split in ("train", WHOLE):
            yield from dialogue.turns + dialogue.responses
    if config.style:
        yield from islice((i.text for i in parse_source(config.style).items() if i.split == "train"), config.limit)


def _build(folder: Path, source: DialogueSource, config: DialogueConfig, whole: bool, assets: DialogueAssets) -> None:
    """Write train/, valid/, test/ (see DialogueStore) and corpus.json into `folder`, in one pass."""
    assert assets.encoder is not None
    reasons = f"over {config.max_words} words", f"over {config.max_tokens} tokens"
    dropped: Counter[str] = Counter(dict.fromkeys(reasons, 0))
    splits = (source.splits or (WHOLE,)) if whole else SPLITS
    exchanges: dict[str, list[tuple[int, int, int]]] = {split: [] for split in splits}
    count = 0
    with ExitStack() as stack:
        writers = {split: stack.enter_context(StoreWriter(folder / split / "turns", assets, False)) for split in splits}
        bar = stack.enter_context(progress_bar())
        task = bar.add_task("tokenising", total=None)
        dialogues = _kept(source, config, whole)
        while chunk := list(islice(dialogues, _CHUNK)):
            count += len(chunk)
            for split, writer in writers.items():
                of_split = [dialogue for dialogue in chunk if dialogue.split == split]
                texts = list(chain.from_iterable(dialogue.turns + dialogue.responses for dialogue in of_split))
                ids = {"encoder": assets.encoder.encode_batch(texts), "decoder": assets.decoder.encode_batch(texts)}
                begin = at = writer.items
                writer.add(texts, ids, None)
                for dialogue in of_split:
                    for first, stop, response in _exchanges(dialogue, at, config.max_turns):
                        place = response - begin
                        if len(texts[place].split()) > config.max_words:
                            dropped[reasons[0]] += 1
                        elif max(len(ids["encoder"][place]), len(ids["decoder"][place])) > config.max_tokens:
                            dropped[reasons[1]] += 1
                        else:
                            exchanges[split].append((first, stop, response))
                    at += len(dialogue.turns) + len(dialogue.responses)
            bar.advance(task, len(chunk))
        for writer in writers.values():
            writer.close()
    if not any(exchanges.values() if whole else [exchanges["train"]]):
        raise GeneraError(
            f"{config.data} has no exchange{'' if whole else ' to train on'}: of {count} dialogues "
            f"{', '.join(f'{n} responses are {reason}' for reason, n in dropped.items())}."
        )
    for split, rows in exchanges.items():
        np.save(folder / split / "exchanges.npy", np.array(rows, np.int64).reshape(-1, 3))
    sizes = {split: len(rows) for split, rows in exchanges.items()}
    write_json(folder / "corpus.json", {"exchanges": sizes, "dialogues": count, "dropped": dict(dropped)})


def _exchanges(dialogue: Dialogue, at: int, most: int) -> Iterator[tuple[int, int, int]]:
    """(first, stop, response) of each exchange of a dialogue whose turns are numbered from `at`."""
    turns = len(dialogue.turns)
    if dialogue.responses:
        yield from ((at + max(0, turns - most), at + turns, at + turns + i) for i in range(len(dialogue.responses)))
    else:
        yield from ((at + max(0, i - most), at + i, at + i) for i in range(1, turns))
