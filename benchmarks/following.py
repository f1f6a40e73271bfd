"""Walks of the navigation agent, text layers once for an episode against text layers at every step.

The same agents with the same weights walk the same ways in both; `peer` has no cache, as the published code.
"""

import statistics
import time
from dataclasses import replace

import torch
from torch import Tensor

from genera.engine import registry
from genera.methods.prevalent.agents.finetuning import Agent
from genera.methods.prevalent.agents.network import InstructionStates, Reader
from genera.methods.prevalent.agents.rollouts import rollout, teacher_forced
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData

AGENTS, HORIZON, ROUNDS = 8, 8, 5


class Uncached:
    """Instructions of which all layers run at every step."""

    def __init__(self, agent: Agent, tokens: Tensor) -> None:
        self.agent, self.tokens = agent, tokens

    def at(self, panorama: Tensor, active: Tensor) -> InstructionStates:
        encoder = self.agent.encoder
        assert encoder
        mask = self.tokens != 0
        reader: Reader = self.agent.network.reader  # type: ignore[assignment]
        return reader(encoder(self.tokens, mask, panorama), mask)


@torch.inference_mode()
def walks(data: NavigationData, preset: str, **depth: int) -> None:
    """depth: other numbers of layers than the preset's."""
    _, config = registry.preset(f"prevalent:{preset}")
    model = replace(config.model, stages=("finetune",), encoder=replace(config.model.encoder, **depth))
    agent = registry.entry("prevalent").load()(model, data.assets).eval().agent
    batch = agent.episodes(data.table("val_seen"), data).batch(torch.arange(AGENTS))

    def cached() -> Tensor:
        return rollout(agent.network, agent.instructions(batch), batch, teacher_forced, HORIZON).logits

    def uncached() -> Tensor:
        return rollout(agent.network, Uncached(agent, batch.tokens), batch, teacher_forced, HORIZON).logits

    torch.testing.assert_close(cached(), uncached(), msg="the two must agree")
    times = []
    for _ in range(ROUNDS):
        row = []
        for run in (uncached, cached):
            before = time.perf_counter()
            run()
            row.append(time.perf_counter() - before)
        times.append(row)
    peer, own = (statistics.median(column) for column in zip(*times, strict=True))
    layers = f"{model.encoder.layers}+{model.encoder.cross_layers} layers of {model.encoder.hidden}"
    ratio = statistics.median(peer / own for peer, own in times)
    print(f"{layers:<46}{1e3 * peer:>13.0f}{1e3 * own:>13.0f}{ratio:>9.2f}   ms", flush=True)


def main() -> None:
    data = NavigationData.open(NavigationConfig())
    print(f"world:houses: {AGENTS} agents walk together, at most {HORIZON} steps; medians of {ROUNDS} rounds")
    print(f"{'':<46}{'peer':>13}{'ours':>13}{'ratio':>9}")
    walks(data, "tiny")
    walks(data, "base-small")
    walks(data, "base-small", layers=9, cross_layers=4)  # the published depth


if __name__ == "__main__":
    main()
