"""Which preset suits one's own sentences, a number of minutes and this machine, and what to expect of it."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from statistics import fmean

import torch

from genera.blocks.pretrained import find
from genera.console import say
from genera.data.text.batches import TextBatch
from genera.data.text.corpus import TextCorpus
from genera.data.text.sources import parse_source
from genera.engine.config import RunConfig
from genera.engine.ranks import Ranks, pick_device
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from genera.methods.optimus.method import Optimus

PRETRAINED, SCRATCH = "minilm", "small-attention"
"""presets: with a frozen, pre-trained encoder, and without"""
SURVEYED = 200_000
"""Texts that are read to describe a corpus."""
TIMED = 3
"""Steps that are timed, after one that is not."""
TOKENS_PER_WORD = 1.3
"""of a vocabulary of 8,000, in English; begin and end tokens come on top"""
EXPECTED: dict[str, tuple[tuple[int, float], ...]] = {
    PRETRAINED: ((38_400, 6.3), (144_000, 19.2), (256_000, 25.4)),
    SCRATCH: ((144_000, 0.9),),
}
"""preset → (sentences seen, BLEU of reconstructions) on 50,000 reviews of Yelp with up to 16 words, in ascending order;
docs/real-text.md has the commands."""

USABLE = ((20.0, "often say what a short sentence says"), (5.0, "keep the topic at best"), (0.0, "say nothing of it"))
"""BLEU at least → what such reconstructions of a sentence do; read off those of the runs in docs/real-text.md"""


def plan(configure: Callable[[str], RunConfig]) -> str:
    """The preset for the data and the minutes of a user, after saying why and what to expect.

    configure: preset → the config with the user's options. Raises GeneraError for unreadable data.
    """
    config = configure(PRETRAINED)
    minutes = config.train.minutes
    assert minutes is not None
    texts, words, whole = _survey(config)
    say(f"{config.data.data}: {'' if whole else 'at least '}{texts:,} training texts of {words:.0f} words.")
    given = configure(SCRATCH).model.pretrained_encoder is not None  # by the user
    preset, why = PRETRAINED, "a frozen, pre-trained encoder"
    try:
        find(str(config.model.pretrained_encoder))
    except GeneraError:
        if given:
            raise
        preset = SCRATCH
        why = (
            "from scratch, since the pre-trained encoder can be neither found nor downloaded (for a local one, add "
            "--pretrained-encoder FOLDER --encoder-tokeniser FOLDER)"
        )
    else:
        reading = texts / _texts_per_second(config, words) / 60
        why += f", which reads the texts once before (about {reading:.1f} minutes)"
        if reading > minutes / 2 and not given:
            preset = SCRATCH
            why = f"from scratch, since a pre-trained encoder would read these texts for {reading:.1f} minutes"
    config = configure(preset)
    seconds = _seconds_per_step(config, words)
    seen = round(60 * minutes / seconds) * config.train.batch_size
    say(
        f"{config.method}:{preset}: {why}. {minutes:g} minutes are about {seen:,} sentences here, "
        f"{seen / texts:.1f} passes."
    )
    say(_expectation(preset, seen))
    return preset


def _survey(config: RunConfig) -> tuple[int, float, bool]:
    """Number of training texts, their mean number of words, and whether all were read."""
    data = config.data
    source = parse_source(data.data, data.text_column, data.label_column)
    items = list(islice(source.items(), SURVEYED))
    words = [len(item.text.split()) for item in items if item.split == "train"]
    kept = [count for count in words if count <= data.max_words][: data.limit]
    if not kept:
        raise GeneraError(f"{data.data} has no training text of up to {data.max_words} words; raise --max-words.")
    return len(kept), fmean(kept), len(items) < SURVEYED


def _model(config: RunConfig, words: float) -> tuple[Optimus, TextBatch]:
    """The model with random weights, and a batch of sentences of `words` words."""
    data = replace(config.data, max_tokens=round(words * TOKENS_PER_WORD) + 2)
    assets, batch = TextCorpus.sketch(data, config.train.batch_size)
    device = pick_device(config.train.device)
    return Optimus(config.model, assets).to(device), batch.to(device)


@torch.no_grad()
def _texts_per_second(config: RunConfig, words: float) -> float:
    """Texts that the encoder reads in a second."""
    model, batch = _model(config, words)
    assert batch.encoder is not None
    for _ in range(2):  # the first warms up
        started = time.monotonic()
        model.network.encoder(batch.encoder, batch.encoder != 0)
    return len(batch.encoder) / (time.monotonic() - started)


def _seconds_per_step(config: RunConfig, words: float) -> float:
    """The fastest of some training steps."""
    model, batch = _model(config, words)
    assert batch.encoder is not None
    ranks = Ranks(0, 1, pick_device(config.train.device))
    if "encoder" in config.model.freeze:
        hidden = config.model.encoder.hidden
        shape = (*batch.encoder.shape, hidden) if model.network.reads_states else (len(batch), hidden)
        batch = replace(batch, features=torch.randn(shape, device=ranks.device))
    step = Step(config.train, ranks, enrol(model.players(), config.train, ranks))
    times = []
    for index in range(TIMED + 1):
        started = time.monotonic()
        step.begin(index, 0.9)
        model.update(batch, step)
        step.averages()  # waits for the device
        times.append(time.monotonic() - started)
    return min(times[1:])


def _expectation(preset: str, seen: int) -> str:
    """What as many sentences gave on the corpus that was measured."""
    points = EXPECTED[preset]
    fewer = [point for point in points if point[0] <= seen * 1.1]
    told = "on 50,000 restaurant reviews of up to 16 words"
    if not fewer:
        return f"expect very little: {told}, {points[0][0]:,} sentences gave reconstructions of BLEU {points[0][1]:g}."
    sentences, bleu = fewer[-1]
    usable = next(words for least, words in USABLE if bleu >= least)
    return (
        f"expect reconstructions that {usable}: {told}, {sentences:,} sentences gave BLEU {bleu:g}. Longer or more "
        "varied sentences need more. The diagnosis says what came out."
    )
