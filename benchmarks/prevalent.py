"""A pre-training step of Prevalent with the text layers run once for several steps of an instruction, against the same
model that runs them for every triplet. On the embedded houses.

Both see the same 48 triplets (16 instructions, 3 steps of each) and compute the same losses.
"""

import statistics
import time
from dataclasses import replace

import torch

from genera.methods.prevalent.encoder.config import EncoderConfig, PretrainConfig
from genera.methods.prevalent.encoder.network import ActionHead, NavigationEncoder, Pretrainer, WordHead
from genera.methods.prevalent.encoder.pretraining import TripletData, objective
from genera.methods.prevalent.encoder.triplets import TripletBatch
from genera.methods.prevalent.presets import TINY_ENCODER
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData

ROWS, STEPS, ROUNDS = 16, 3, 5
# As many text and cross layers as published, four times as narrow.
DEEP = EncoderConfig(hidden=192, heads=12, feed_forward=768, dropout=0.0)


def apart(batch: TripletBatch) -> TripletBatch:
    """The same triplets, each in a row of its own with its own copy of the text."""
    rows = {name: getattr(batch, name).repeat_interleave(STEPS, 0) for name in ("tokens", "picked", "words", "weight")}
    return replace(
        batch,
        ids=batch.ids.repeat_interleave(STEPS),
        views=batch.views.flatten(0, 1)[:, None],
        action=batch.action.flatten()[:, None],
        **rows,
    )


def seconds(network: Pretrainer, batch: TripletBatch) -> float:
    before = time.perf_counter()
    objective(network, PretrainConfig(), batch)["loss"].backward()
    network.zero_grad()
    return time.perf_counter() - before


def compare(name: str, config: EncoderConfig, data: NavigationData) -> None:
    size = config.sized(data.assets.tokeniser.size)
    torch.manual_seed(0)
    encoder = NavigationEncoder(size, config.cross_layers, data.assets.feature_size)
    network = Pretrainer(encoder, WordHead(size), ActionHead(size))
    triplets = TripletData.of(data, PretrainConfig(batch_size=ROWS * STEPS, steps_of_one=STEPS), None)
    shared = triplets.stream("train", ROWS, seed=0).batch(0)
    single = apart(shared)
    losses = [objective(network, PretrainConfig(), batch)["loss"] for batch in (single, shared)]
    assert torch.allclose(*losses, rtol=1e-4), "the two must agree"
    times = [[seconds(network, batch) for batch in (single, shared)] for _ in range(ROUNDS)]
    each, once = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    layers = f"{config.layers} text, {config.cross_layers} cross layers"
    print(f"{name:<8}{layers:<30}{1e3 * each:>12.1f}{1e3 * once:>12.1f}{ratio:>9.2f}", flush=True)


def main() -> None:
    data = NavigationData.open(NavigationConfig())
    print(f"milliseconds a step of {ROWS * STEPS} triplets, {ROWS} instructions; medians of {ROUNDS} rounds")
    print(f"{'':<38}{'every time':>12}{'once':>12}{'ratio':>9}")
    compare("tiny", TINY_ENCODER, data)
    compare("deep", DEEP, data)


if __name__ == "__main__":
    main()
