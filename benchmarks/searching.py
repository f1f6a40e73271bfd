"""Routes of the navigation agent, a batch searching together against each agent alone with a heap.

Both find the same routes with the same weights; `peer` is state-factored search as it is usually written: a priority
queue of open ways, one of which the network goes on with at a time.
"""

import heapq
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from genera.engine import registry
from genera.methods.prevalent.agents.episodes import EpisodeBatch
from genera.methods.prevalent.agents.finetuning import Agent
from genera.methods.prevalent.agents.rollouts import decide, stop_features
from genera.methods.prevalent.agents.search import likeliest_routes
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData

AGENTS, ROUTES, HORIZON, ROUNDS = 64, 40, 12, 3


def alone(agent: Agent, batch: EpisodeBatch) -> list[float]:
    """The scores of one agent's routes, the likeliest first."""
    instructions, here = agent.instructions(batch), torch.ones(1, dtype=torch.bool)
    heap: list[Any] = [(0.0, 0, 0, 1, batch.node, batch.view, None)]
    order, closed, found = 1, set[int](), list[float]()
    while heap and len(found) < ROUTES:
        cost, _, ended, length, node, view, state = heapq.heappop(heap)
        if ended:
            found.append(-cost)
        elif int(node) not in closed:
            closed.add(int(node))
            choice, _ = decide(agent.network, instructions, batch, node, view, stop_features(batch), state, here)
            logs = choice.logits.log_softmax(-1)[0].tolist()
            there, views, valid = (x[0] for x in batch.town.candidates(node, view))
            order += 1
            heapq.heappush(heap, (cost - logs[0], order, 1, length, node, view, None))
            for slot in range(1, len(logs)):
                order += 1
                if valid[slot] and length < HORIZON:
                    way = there[slot : slot + 1], views[slot : slot + 1], choice.state
                    heapq.heappush(heap, (cost - logs[slot], order, 0, length + 1, *way))
    return found


@torch.inference_mode()
def main() -> None:
    data = NavigationData.open(NavigationConfig())
    _, config = registry.preset("prevalent:tiny")
    own = registry.entry("prevalent").load()
    agent: Agent = own(config.model, data.assets).eval().agent
    episodes = agent.episodes(data.table("val_seen"), data)
    batch = episodes.batch(torch.arange(AGENTS))

    def together() -> Tensor:
        return likeliest_routes(agent.network, agent.instructions(batch), batch, ROUTES, HORIZON).scores

    def one_by_one() -> list[list[float]]:
        return [alone(agent, episodes.batch(torch.tensor([row]))) for row in range(AGENTS)]

    for ours, theirs in zip(together().tolist(), one_by_one(), strict=True):
        torch.testing.assert_close(ours[: len(theirs)], theirs, atol=1e-3, rtol=1e-3, msg="the two must agree")
    times = []
    for _ in range(ROUNDS):
        row = []
        for run in (one_by_one, together):
            before = time.process_time()
            run()
            row.append(time.process_time() - before)
        times.append(row)
    peer, mine = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(peer / mine for peer, mine in times)
    print(f"world:houses: {ROUTES} routes of each of {AGENTS} agents; medians of {ROUNDS} rounds of CPU time")
    print(f"{'':<46}{'peer':>13}{'ours':>13}{'ratio':>9}")
    print(f"{'2+2 layers of 64':<46}{peer:>13.2f}{mine:>13.2f}{ratio:>9.2f}   s", flush=True)


if __name__ == "__main__":
    main()
