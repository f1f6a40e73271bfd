"""Instructions for every path that R2R's rule allows: enumerated, described by the speaker, kept in shards.

A shard is a JSON file in the format of R2R's own episodes, which other tools read too, and beside it a receipt: what
made it, and the hash of what was written last. A run that was killed goes on with the first shard without a valid one.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from genera.blocks.decoding_options import Decoding
from genera.console import progress_bar, say
from genera.engine.method import Stage
from genera.engine.ranks import Ranks
from genera.errors import GeneraError
from genera.files import read_json, write_json, write_text
from genera.measures.navigation import last, path_length
from genera.methods.prevalent.speaker.config import SynthesisConfig
from genera.methods.prevalent.speaker.network import Speaker
from genera.methods.prevalent.speaker.training import describe, environment
from genera.navigation.dataset import InstructedPaths, NavigationData
from genera.navigation.graphs import Graphs, enumerate_paths
from genera.navigation.simulator import views_along

_FORMAT = 1
_MANIFEST = "manifest.json"


def synthesis_stage(speaker: Speaker, config: SynthesisConfig) -> Stage:
    def work(data: NavigationData, folder: Path, ranks: Ranks) -> Iterator[None]:
        return synthesise(speaker, config, data, folder, ranks)

    return Stage("synthesis", work=work)


# -- which paths ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """P paths to be described."""

    nodes: NDArray[np.int64]
    """(P, T), -1 after the last"""
    headings: NDArray[np.float64]
    """(P,) radians, at random"""
    numbers: NDArray[np.int64]
    """(P,) of the paths among all that the rule allows"""


def plan(config: SynthesisConfig, data: NavigationData) -> Plan:
    """The paths of the scans of a split. A smaller share is a part of a larger one; headings stay with their paths.

    Raises GeneraError when there is none, or no such split.
    """
    graphs = data.graphs
    scans = {episode.scan for episode in data.table(config.split).episodes}
    nodes = enumerate_paths(graphs, [scan for scan in graphs.scans if scan in scans])
    random = np.random.default_rng(config.seed)
    headings, order = 2 * np.pi * random.random(len(nodes)), random.permutation(len(nodes))
    if config.exclude:
        order = order[~np.isin(_ends(graphs, nodes), _annotated(data))[order]]
    chosen = np.sort(order[: int(np.ceil(config.share * len(order)))])
    if not len(chosen):
        raise GeneraError(
            f"no path of the {config.split} scans of {data.config.data} has 4 to 6 edges and at least 5 metres"
            + (" and ends of its own; leave --synthesis.exclude out." if config.exclude else ".")
        )
    return Plan(nodes[chosen], headings[chosen], chosen)


def _ends(graphs: Graphs, paths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) one number for each pair of start and goal."""
    return paths[:, 0] * len(graphs) + last(paths)


def _annotated(data: NavigationData) -> NDArray[np.int64]:
    """The pairs of start and goal of all splits whose goals are known."""
    tables = [data.source.table(split, data.config.supervision) for split in data.source.files]
    return np.concatenate([_ends(data.graphs, table.reference) for table in tables if (table.goals >= 0).any()])


# -- writing ----------------------------------------------------------------------------------------------------------


def synthesise(
    speaker: Speaker, config: SynthesisConfig, data: NavigationData, folder: Path, ranks: Ranks
) -> Iterator[None]:
    """Write shards and manifest into `folder`, each rank every `world`-th shard; yields after each of them.

    The shards are the same however many ranks there are. What an earlier start finished for the same speaker, config
    and data stays. Raises GeneraError when no path is allowed, or the disk is full.
    """
    planned = plan(config, data)
    key = _key(speaker, config, data, planned)
    count = -(-len(planned.nodes) // config.shard_size)
    mine = range(ranks.rank, count, ranks.world)
    missing = [shard for shard in mine if _receipt(folder, shard, key) is None]
    if len(missing) < len(mine):
        say(f"{len(mine) - len(missing):,} of {len(mine):,} shards are there already")
    training, started, written = speaker.training, time.monotonic(), 0
    speaker.eval()
    with progress_bar("instructions") as bar:
        task = bar.add_task("describing paths", total=_instructions(config, planned, missing))
        for shard in missing:
            rows = _rows(config, planned, shard)
            entries = _described(speaker, config, data, planned, shard)
            content = json.dumps(entries, ensure_ascii=False)
            write_text(_shard(folder, shard), content)
            write_json(
                _receipt_file(folder, shard),
                {
                    "key": key,
                    "file": _shard(folder, shard).name,
                    "paths": len(rows),
                    "instructions": len(rows) * config.samples,
                    "sha256": hashlib.sha256(content.encode()).hexdigest(),
                },
            )
            bar.advance(task, len(rows) * config.samples)
            written += len(rows) * config.samples
            yield
    speaker.train(training)
    if written:
        seconds = time.monotonic() - started
        say(f"{written:,} instructions in {seconds:,.0f} s, {written / seconds:,.0f} a second on each of {ranks.world}")
    ranks.barrier()
    if ranks.main:
        _write_manifest(folder, config, data, count, key)


def _described(
    speaker: Speaker, config: SynthesisConfig, data: NavigationData, planned: Plan, shard: int
) -> list[dict[str, Any]]:
    """The entries of a shard, as R2R has them."""
    device = next(speaker.parameters()).device
    decoding = Decoding(temperature=config.temperature, max_tokens=config.max_words)
    rows = _rows(config, planned, shard)
    nodes, headings = planned.nodes[rows], planned.headings[rows]
    views = views_along(data.graphs, nodes, headings)
    texts: list[list[str]] = [[] for _ in rows]
    for sample in range(config.samples):
        for first in range(0, len(rows), config.batch_size):
            part = slice(first, first + config.batch_size)
            seed = np.random.SeedSequence([config.seed, shard, sample, first])
            dice = torch.Generator(device).manual_seed(int(seed.generate_state(1)[0]))
            uniform = torch.from_numpy(np.random.default_rng(seed).random(data.assets.view_size, np.float32))
            written = describe(
                speaker,
                data.assets.words,
                data.town,
                torch.from_numpy(nodes[part]).to(device),
                torch.from_numpy(views[part]).to(device),
                decoding=decoding,
                factors=environment(config.environment_dropout, uniform).to(device),
                generator=dice,
            )
            for own, text in zip(texts[part], written, strict=True):
                own.append(text)
    graphs, metres = data.graphs, path_length(data.graphs, nodes)
    return [
        {
            "path_id": int(number),
            "scan": graphs.scans[graphs.scan_of[path[0]]],
            "heading": heading,
            "path": [graphs.names[node] for node in path if node >= 0],
            "distance": round(distance, 2),
            "instructions": own,
        }
        for number, path, heading, distance, own in zip(
            planned.numbers[rows], nodes.tolist(), headings.tolist(), metres.tolist(), texts, strict=True
        )
    ]


def _rows(config: SynthesisConfig, planned: Plan, shard: int) -> range:
    return range(shard * config.shard_size, min((shard + 1) * config.shard_size, len(planned.nodes)))


def _instructions(config: SynthesisConfig, planned: Plan, shards: list[int]) -> int:
    return sum(len(_rows(config, planned, shard)) for shard in shards) * config.samples


def _shard(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.json"


def _receipt_file(folder: Path, shard: int) -> Path:
    return folder / "receipts" / f"{shard:05d}.json"


def _receipt(folder: Path, shard: int, key: str) -> dict[str, Any] | None:
    """The receipt of a shard that is whole and was made by `key`; None for a shard that is to be made."""
    if not _receipt_file(folder, shard).exists():
        return None
    receipt = read_json(_receipt_file(folder, shard))
    return receipt if receipt["key"] == key and _hash(_shard(folder, shard)) == receipt["sha256"] else None


def _key(speaker: nn.Module, config: SynthesisConfig, data: NavigationData, planned: Plan) -> str:
    """What decides about every byte of a shard."""
    digest = hashlib.sha256(repr((_FORMAT, config, data.assets.words.words, data.graphs.names)).encode())
    digest.update(planned.nodes.tobytes() + planned.headings.tobytes())
    for name, value in speaker.state_dict().items():
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def _hash(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _write_manifest(folder: Path, config: SynthesisConfig, data: NavigationData, count: int, key: str) -> None:
    receipts = [read_json(_receipt_file(folder, shard)) for shard in range(count)]
    shards = [{name: receipt[name] for name in ("file", "paths", "instructions", "sha256")} for receipt in receipts]
    write_json(
        folder / _MANIFEST,
        {
            "format": _FORMAT,
            "data": data.config.data,
            "config": asdict(config),
            "key": key,
            "paths": sum(shard["paths"] for shard in shards),
            "instructions": sum(shard["instructions"] for shard in shards),
            "shards": shards,
        },
    )


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SyntheticSet:
    """A finished synthesis, every shard of which is as it was written."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises GeneraError when the manifest is missing or of another format, or a shard is missing or changed."""
        if not (folder / _MANIFEST).exists():
            raise GeneraError(f"{folder} has no finished synthesis ({_MANIFEST} is missing); train again to go on.")
        manifest = read_json(folder / _MANIFEST)
        if manifest.get("format") != _FORMAT:
            raise GeneraError(f"{folder / _MANIFEST} has format {manifest.get('format')}; {_FORMAT} was expected.")
        for shard in manifest["shards"]:
            if (found := _hash(folder / shard["file"])) != shard["sha256"]:
                problem = "is missing" if found is None else "is not what was written"
                raise GeneraError(f"the shard {folder / shard['file']} {problem}; restore it, or synthesise anew.")
        return cls(folder, manifest)

    def __len__(self) -> int:
        """Instructions."""
        return self.manifest["instructions"]

    def paths(self, graphs: Graphs) -> InstructedPaths:
        """All instructions with their paths on these graphs. Raises GeneraError for viewpoints that they lack."""
        nodes: list[list[int]] = []
        headings: list[float] = []
        texts: list[list[str]] = []
        for shard in self.manifest["shards"]:
            for entry in read_json(self.folder / shard["file"]):
                place = graphs.nodes_of(entry["scan"])
                path = [place[name] if name in place else graphs.node(entry["scan"], name) for name in entry["path"]]
                nodes.append(path)
                headings.append(entry["heading"])
                texts.append(entry["instructions"])
        table = np.full((len(nodes), max(map(len, nodes))), -1)
        for row, path in zip(table, nodes, strict=True):
            row[: len(path)] = path
        counts = [len(own) for own in texts]
        every = list(chain.from_iterable(texts))
        return InstructedPaths(np.repeat(table, counts, axis=0), np.repeat(np.array(headings), counts), every)
