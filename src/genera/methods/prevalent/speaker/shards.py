"""A synthesised set on disk: shards in the format of R2R's episode files, a receipt beside each, and a manifest.

A receipt holds a key of everything that the shard depends on, and the SHA-256 of its content. A shard without a valid
receipt is written again; the manifest is written once all shards are complete.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np

from genera.errors import GeneraError
from genera.files import read_json, write_json, write_text
from genera.methods.prevalent.speaker.config import SynthesisConfig
from genera.navigation.dataset import InstructedPaths
from genera.navigation.graphs import Graphs
from genera.typed import mismatch, read_typed

FORMAT = 1
_MANIFEST = "manifest.json"


def write_shard(folder: Path, shard: int, entries: Sequence[dict[str, Any]], key: str) -> None:
    """Write a shard and then its receipt. entries: as in R2R's files, with `instructions`."""
    content = json.dumps(entries, ensure_ascii=False)
    file = _shard_file(folder, shard)
    write_text(file, content)
    write_json(
        _receipt_file(folder, shard),
        {
            "key": key,
            "file": file.name,
            "paths": len(entries),
            "instructions": sum(len(entry["instructions"]) for entry in entries),
            "sha256": hashlib.sha256(content.encode()).hexdigest(),
        },
    )


@dataclass(frozen=True)
class _Receipt:
    file: str
    paths: int
    instructions: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    instructions: int
    shards: list[_Receipt]


@dataclass(frozen=True)
class _Instructed:
    """One path of a shard."""

    scan: str
    path: list[str]
    heading: float
    instructions: list[str]


def _receipt(folder: Path, shard: int) -> dict[str, Any]:
    path = _receipt_file(folder, shard)
    receipt = read_typed(path, _Receipt, "delete it, and the shard is synthesised again")
    if not isinstance(receipt.get("key"), str):
        raise GeneraError(f"{path} is damaged (it has no key); delete it, and the shard is synthesised again.")
    return receipt


def is_complete(folder: Path, shard: int, key: str) -> bool:
    """Whether the shard is as its receipt says, and was written for `key`."""
    if not _receipt_file(folder, shard).exists():
        return False
    receipt = _receipt(folder, shard)
    return receipt["key"] == key and _sha256(_shard_file(folder, shard)) == receipt["sha256"]


def write_manifest(folder: Path, config: SynthesisConfig, data: str, shards: int, key: str) -> None:
    """data: the source of the graphs."""
    receipts = [_receipt(folder, shard) for shard in range(shards)]
    entries = [{name: receipt[name] for name in ("file", "paths", "instructions", "sha256")} for receipt in receipts]
    write_json(
        folder / _MANIFEST,
        {
            "format": FORMAT,
            "data": data,
            "config": asdict(config),
            "key": key,
            "paths": sum(entry["paths"] for entry in entries),
            "instructions": sum(entry["instructions"] for entry in entries),
            "shards": entries,
        },
    )


@dataclass(frozen=True)
class SyntheticSet:
    """A complete synthesised set, every shard of which has been verified."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises GeneraError for a missing manifest, another format, or a shard that is missing or changed."""
        if not (folder / _MANIFEST).exists():
            raise GeneraError(
                f"{folder} has no finished synthesis ({_MANIFEST} is missing); rerun the training command to resume it."
            )
        manifest = read_json(folder / _MANIFEST)
        if isinstance(manifest, dict) and manifest.get("format") != FORMAT:
            raise GeneraError(f"{folder / _MANIFEST} has format {manifest.get('format')}; {FORMAT} was expected.")
        if problem := mismatch(manifest, _Manifest):
            raise GeneraError(f"{folder / _MANIFEST} is damaged ({problem}); restore it, or synthesise again.")
        for shard in manifest["shards"]:
            if (sha256 := _sha256(folder / shard["file"])) != shard["sha256"]:
                problem = "is missing" if sha256 is None else "has changed since it was written"
                raise GeneraError(f"the shard {folder / shard['file']} {problem}; restore it, or synthesise again.")
        return cls(folder, manifest)

    def __len__(self) -> int:
        """The number of instructions."""
        return self.manifest["instructions"]

    def paths(self, graphs: Graphs) -> InstructedPaths:
        """All instructions with their paths on these graphs. Raises GeneraError for viewpoints that the graphs lack."""
        paths: list[list[int]] = []
        headings: list[float] = []
        instructions: list[list[str]] = []
        for shard in self.manifest["shards"]:
            for entry in read_typed(self.folder / shard["file"], list[_Instructed]):
                node_of = graphs.nodes_of(entry["scan"])
                names = entry["path"]
                paths.append([node_of[n] if n in node_of else graphs.node(entry["scan"], n) for n in names])
                headings.append(entry["heading"])
                instructions.append(entry["instructions"])
        nodes = np.full((len(paths), max(map(len, paths))), -1)
        for row, path in zip(nodes, paths, strict=True):
            row[: len(path)] = path
        counts = [len(texts) for texts in instructions]
        return InstructedPaths(
            np.repeat(nodes, counts, axis=0),
            np.repeat(np.array(headings), counts),
            list(chain.from_iterable(instructions)),
        )


def _shard_file(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.json"


def _receipt_file(folder: Path, shard: int) -> Path:
    return folder / "receipts" / f"{shard:05d}.json"


def _sha256(file: Path) -> str | None:
    """None for a missing file."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
