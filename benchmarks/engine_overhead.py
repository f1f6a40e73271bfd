"""The engine against a bare PyTorch loop over the same model and the same batches: what do its promises cost?

    python -m benchmarks.engine_overhead

The engine's side has everything on: logging, finiteness checks, telemetry, reproducible noise, checkpoints. Both run
in turn, round by round, in CPU time (other processes then count less); a short run is taken off a long one, so that
opening data and building the model count on neither side. The ratio is the median. Target: at most 1.03.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.optim import AdamW

import genera
from genera.console import console
from genera.engine import registry
from genera.engine.config import RunConfig
from genera.measures.latent import gaussian_kl
from genera.methods.optimus.method import Optimus

SHORT, LONG, ROUNDS = 20, 320, 5


def bare(config: RunConfig) -> None:
    """The steps written out by hand."""
    steps = config.train.steps or 0
    data = Optimus.dataset.open(config.data)
    torch.manual_seed(config.train.seed)
    method = Optimus(config.model, data.assets)
    network = method.network
    optimiser = AdamW(network.parameters(), lr=config.model.lr, weight_decay=0.0, fused=True)
    stream = data.stream("train", config.train.batch_size, seed=config.train.seed)
    network.train()
    for step in range(steps):
        batch = stream.batch(step)
        for group in optimiser.param_groups:
            group["lr"] = config.model.lr * (1 - step / steps)
        noise = torch.randn(len(batch), config.model.latent_size)
        log_likelihood, mean, log_variance = network(batch, noise)
        kl = gaussian_kl(mean, log_variance).clamp(min=config.model.free_bits).sum(1)
        loss = (kl - log_likelihood).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.train.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def engine(config: RunConfig) -> None:
    """The same steps in the engine."""
    with tempfile.TemporaryDirectory() as folder:
        genera.train(config, Path(folder) / "run")


def cost(side: Callable[[RunConfig], None], config: RunConfig) -> float:
    """CPU milliseconds of a step."""
    times = []
    for steps in (SHORT, LONG):
        started = time.process_time()
        side(replace(config, train=replace(config.train, steps=steps)))
        times.append(time.process_time() - started)
    return (times[1] - times[0]) / (LONG - SHORT) * 1000


def main() -> None:
    console.quiet = True
    torch.set_num_threads(1)
    config = genera.configure(
        "optimus:nano", data="world:captions-small", steps=LONG, validate_every=0, beta_schedule="constant", warmup=0
    )
    registry.entry("optimus").load().dataset.open(config.data)  # build the cache before anything is timed
    pairs = [(cost(bare, config), cost(engine, config)) for _ in range(ROUNDS)]
    ratios = [ours / floor for floor, ours in pairs]
    floor, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"bare loop {floor:.2f} ms a step, engine {ours:.2f} ms a step")
    print(f"engine / bare loop: {statistics.median(ratios):.3f} (rounds {', '.join(f'{r:.3f}' for r in ratios)})")


if __name__ == "__main__":
    main()
