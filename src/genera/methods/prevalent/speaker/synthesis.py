"""Synthesis: the speaker describes every path that satisfies R2R's rules (Hao et al. 2020, section 3.3).

Work is split into shards, which ranks share. A killed run resumes with the first shard that is not complete.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from genera.blocks.decoding_options import Decoding
from genera.console import progress_bar, say
from genera.engine.method import Stage
from genera.engine.ranks import Ranks
from genera.errors import GeneraError
from genera.measures.navigation import last, path_length
from genera.methods.prevalent.speaker.config import SynthesisConfig
from genera.methods.prevalent.speaker.inference import describe, environmental_dropout
from genera.methods.prevalent.speaker.network import Speaker
from genera.methods.prevalent.speaker.shards import FORMAT, is_complete, write_manifest, write_shard
from genera.navigation.dataset import NavigationData
from genera.navigation.graphs import Graphs, enumerate_paths
from genera.navigation.simulator import views_along


def synthesis_stage(speaker: Speaker, config: SynthesisConfig) -> Stage:
    def work(data: NavigationData, folder: Path, ranks: Ranks) -> Iterator[None]:
        return synthesise(speaker, config, data, folder, ranks)

    return Stage("synthesis", work=work)


# -- which paths ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PathPlan:
    """P paths to describe."""

    nodes: NDArray[np.int64]
    """(P, T), -1 after the last"""
    headings: NDArray[np.float64]
    """(P,) random start headings in radians"""
    ids: NDArray[np.int64]
    """(P,) the number of each path among all that satisfy R2R's rules"""

    def __len__(self) -> int:
        return len(self.nodes)


def plan_paths(config: SynthesisConfig, data: NavigationData) -> PathPlan:
    """The paths in the scans of `config.split`. Smaller shares are subsets of larger ones, with the same headings.

    Raises GeneraError if there is no such path or split.
    """
    graphs = data.graphs
    scans = {episode.scan for episode in data.table(config.split).episodes}
    nodes = enumerate_paths(graphs, [scan for scan in graphs.scans if scan in scans])
    random = np.random.default_rng(config.seed)
    headings, order = 2 * np.pi * random.random(len(nodes)), random.permutation(len(nodes))
    if config.exclude:
        order = order[~np.isin(_endpoints(graphs, nodes), _annotated_endpoints(data))[order]]
    chosen = np.sort(order[: int(np.ceil(config.share * len(order)))])
    if not len(chosen):
        raise GeneraError(
            f"no path in the {config.split} scans of {data.config.data} has 4 to 6 edges and at least 5 metres"
            + (" and endpoints that no annotated path has; leave --synthesis.exclude out." if config.exclude else ".")
        )
    return PathPlan(nodes[chosen], headings[chosen], chosen)


def _endpoints(graphs: Graphs, paths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) a number for each pair of start and goal."""
    return paths[:, 0] * len(graphs) + last(paths)


def _annotated_endpoints(data: NavigationData) -> NDArray[np.int64]:
    """The pairs of start and goal in all splits whose goals are known."""
    tables = [data.source.table(split, data.config.supervision) for split in data.source.files]
    return np.concatenate([_endpoints(data.graphs, table.reference) for table in tables if (table.goals >= 0).any()])


# -- writing ----------------------------------------------------------------------------------------------------------


def synthesise(
    speaker: Speaker, config: SynthesisConfig, data: NavigationData, folder: Path, ranks: Ranks
) -> Iterator[None]:
    """Write the set into `folder`, rank r of n every n-th shard; yields after each shard.

    The content does not depend on the number of ranks. Shards that are complete for the same speaker, config and data
    are kept. Raises GeneraError if there is no path, or the disk is full.
    """
    plan = plan_paths(config, data)
    key = _key(speaker, config, data, plan)
    shards = [
        range(first, min(first + config.shard_size, len(plan))) for first in range(0, len(plan), config.shard_size)
    ]
    mine = range(ranks.rank, len(shards), ranks.world)
    missing = [number for number in mine if not is_complete(folder, number, key)]
    if len(missing) < len(mine):
        say(f"{len(mine) - len(missing):,} of {len(mine):,} shards are complete already")
    training, started, written = speaker.training, time.monotonic(), 0
    speaker.eval()
    with progress_bar("instructions") as bar:
        total = sum(len(shards[number]) for number in missing) * config.samples
        task = bar.add_task("describing paths", total=total)
        for number in missing:
            write_shard(folder, number, _describe_shard(speaker, config, data, plan, number, shards[number]), key)
            bar.advance(task, len(shards[number]) * config.samples)
            written += len(shards[number]) * config.samples
            yield
    speaker.train(training)
    if written:
        seconds = time.monotonic() - started
        say(f"{written:,} instructions in {seconds:,.0f} s, {written / seconds:,.0f} a second on each of {ranks.world}")
    ranks.barrier()
    if ranks.main:
        write_manifest(folder, config, data.config.data, len(shards), key)


def _describe_shard(
    speaker: Speaker, config: SynthesisConfig, data: NavigationData, plan: PathPlan, shard: int, rows: range
) -> list[dict[str, Any]]:
    """The entries of a shard, in R2R's format. rows: the shard's paths in the plan."""
    device = next(speaker.parameters()).device
    decoding = Decoding(temperature=config.temperature, max_tokens=config.max_words)
    nodes, headings = plan.nodes[rows], plan.headings[rows]
    views = views_along(data.graphs, nodes, headings)
    instructions: list[list[str]] = [[] for _ in rows]
    for sample in range(config.samples):
        for first in range(0, len(rows), config.batch_size):
            part = slice(first, first + config.batch_size)
            seed = np.random.SeedSequence([config.seed, shard, sample, first])
            generator = torch.Generator(device).manual_seed(int(seed.generate_state(1)[0]))
            uniform = torch.from_numpy(np.random.default_rng(seed).random(data.assets.view_size, np.float32))
            texts = describe(
                speaker,
                data.assets.words,
                data.town,
                torch.from_numpy(nodes[part]).to(device),
                torch.from_numpy(views[part]).to(device),
                decoding=decoding,
                factors=environmental_dropout(config.environment_dropout, uniform).to(device),
                generator=generator,
            )
            for of_path, text in zip(instructions[part], texts, strict=True):
                of_path.append(text)
    graphs, metres = data.graphs, path_length(data.graphs, nodes)
    return [
        {
            "path_id": int(plan.ids[row]),
            "scan": graphs.scans[graphs.scan_of[path[0]]],
            "heading": heading,
            "path": [graphs.names[node] for node in path if node >= 0],
            "distance": round(distance, 2),
            "instructions": texts,
        }
        for row, path, heading, distance, texts in zip(
            rows, nodes.tolist(), headings.tolist(), metres.tolist(), instructions, strict=True
        )
    ]


def _key(speaker: nn.Module, config: SynthesisConfig, data: NavigationData, plan: PathPlan) -> str:
    """A hash of everything that the content of the shards depends on."""
    digest = hashlib.sha256(repr((FORMAT, config, data.assets.words.words, data.graphs.names)).encode())
    digest.update(plan.nodes.tobytes() + plan.headings.tobytes())
    for name, value in speaker.state_dict().items():
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()
