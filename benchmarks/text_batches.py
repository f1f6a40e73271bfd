"""From texts to padded batches: our store and stream, against `datasets.map` with a bucketing loader of PyTorch.

    python -m benchmarks.text_batches

Both tokenise world:captions-small for encoder and decoder with the same tokenisers, then read one epoch of batches of
64 in buckets of one length order. Also the share of padding, with the buckets and without. CPU time; the ratio is the
median over the rounds. Without `datasets` (the extra `data`) its side is left out, and that is said.
"""

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

import genera
from genera.console import console
from genera.data.streams import WINDOW
from genera.data.text.corpus import TextCorpus

BATCH, ROUNDS = 64, 3


class Buckets(Sampler[list[int]]):
    """Rows sorted by length inside windows of 100 batches, whose batches are shuffled."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = torch.tensor(lengths)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.lengths))
        batches = []
        for window in order.split(WINDOW * BATCH):
            rows = window[self.lengths[window].argsort()]
            batches += [part.tolist() for part in rows.split(BATCH) if len(part) == BATCH]
        for index in torch.randperm(len(batches)):
            yield batches[index]


def padded(rows: list[list[int]], pad: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)


def seconds(action: Callable[[], object]) -> float:
    before = time.process_time()
    action()
    return time.process_time() - before


def padding_share(batches: Iterable[tuple[Tensor, Tensor]], pads: tuple[int, int]) -> float:
    room = used = 0
    for batch in batches:
        for side, pad in zip(batch, pads, strict=True):
            room, used = room + side.numel(), used + int((side != pad).sum())
    return 1 - used / room


@contextmanager
def empty_cache() -> Iterator[None]:
    before = os.environ.get("GENERA_CACHE")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GENERA_CACHE"] = cache
        try:
            yield
        finally:
            os.environ.pop("GENERA_CACHE")
            if before is not None:
                os.environ["GENERA_CACHE"] = before


def main() -> None:
    console.quiet = True
    torch.set_num_threads(1)
    config = genera.configure("optimus:nano", data="world:captions-small").data
    corpus = TextCorpus.open(config)
    tokenisers, texts = corpus.tokenisers, corpus.train.texts()
    sides = {"encoder": tokenisers.encoder, "decoder": tokenisers.decoder}
    pads = (0, tokenisers.decoder.pad)

    def build() -> None:
        with empty_cache():
            TextCorpus.open(config, tokenisers)

    def epoch() -> None:
        stream = corpus.stream("train", BATCH, seed=0)
        for step in range(stream.steps_per_epoch):
            stream.batch(step)

    def tokenised(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {name: side.encode_batch(rows["text"]) for name, side in sides.items() if side}

    def collate(batch: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        encoder, decoder = ([row[side] for row in batch] for side in sides)
        return padded(encoder, pads[0]), padded(decoder, pads[1])

    print(f"{len(texts):,} texts, both sides, batches of {BATCH}; CPU seconds, median of {ROUNDS} rounds")
    again = seconds(lambda: TextCorpus.open(config, tokenisers))
    ours = [(seconds(build), seconds(epoch)) for _ in range(ROUNDS)]
    built, read = (statistics.median(column) for column in zip(*ours, strict=True))
    print(
        f"genera: tokenise and store (4,000 held-out texts too) {built:.2f}, open again {again:.3f}, epoch {read:.2f}"
    )

    lists = tokenised({"text": texts})
    rows: Any = [dict(zip(lists, pair, strict=True)) for pair in zip(*lists.values(), strict=True)]
    if importlib.util.find_spec("datasets"):
        import datasets

        datasets.disable_progress_bars()
        source = datasets.Dataset.from_dict({"text": texts})

        def mapped() -> Any:
            return source.map(tokenised, batched=True, load_from_cache_file=False)

        took = [seconds(mapped) for _ in range(ROUNDS)]
        ratio = statistics.median(theirs / mine[0] for theirs, mine in zip(took, ours, strict=True))
        print(f"datasets: map {statistics.median(took):.2f}, {ratio:.2f} x ours")
        rows = mapped()
    else:
        print("datasets is not installed (pip install 'genera[data]'): no map; the loader reads lists in memory")

    loader = DataLoader(rows, batch_sampler=Buckets(list(map(len, lists["decoder"]))), collate_fn=collate)
    took = [seconds(lambda: [None for _ in loader]) for _ in range(ROUNDS)]
    ratio = statistics.median(theirs / mine[1] for theirs, mine in zip(took, ours, strict=True))
    print(f"loader with buckets: epoch {statistics.median(took):.2f}, {ratio:.1f} x ours")

    shuffled = DataLoader(rows, batch_size=BATCH, shuffle=True, drop_last=True, collate_fn=collate)
    noisy, exact = (replace(corpus, bucket_noise=noise).stream("train", BATCH, seed=0) for noise in (0.5, 0.0))
    shares = {"genera (noise 0.5)": noisy.padding_share, "genera (noise 0)": exact.padding_share}
    shares["buckets"] = padding_share(loader, pads)
    shares["no buckets"] = padding_share(shuffled, pads)
    print("share of padding: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
