"""Memory-mapped texts and tokens on disk: written in one pass, read by row number, possibly larger than memory."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError
from genera.files import read_json

Rows: TypeAlias = slice | Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True)
class Ragged:
    """N rows of different lengths in one flat array: row i is flat[offsets[i] : offsets[i + 1]]."""

    flat: NDArray[np.integer]
    offsets: NDArray[np.int64]
    """(N + 1,)"""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self, rows: NDArray[np.integer] | slice = slice(None)) -> NDArray[np.int64]:
        return self.offsets[1:][rows] - self.offsets[:-1][rows]

    def padded(self, rows: NDArray[np.integer], width: int, pad: int) -> NDArray[np.int64]:
        """(B, width) int64: the rows, right-padded. `width` is at least the length of the longest."""
        places = self.offsets[:-1][rows, None] + np.arange(width)
        inside = places < self.offsets[1:][rows, None]
        return np.where(inside, self.flat.take(places, mode="clip"), pad).astype(np.int64, copy=False)


class TokenStore:
    """One split of a corpus: texts, token ids of both sides, labels and word counts of N items, read from disk.

    Data is loaded on access. Raises GeneraError when a file is missing or truncated.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._about = read_json(folder / "about.json")
        try:
            sides = set(self._about["files"])
            self._text = self._ragged("text")
            self.decoder = self._ragged("decoder")
            self.encoder = self._ragged("encoder") if "encoder" in sides else None
            self.labels: NDArray[np.int32] | None = self._array("labels") if "labels" in sides else None
            self.words: NDArray[np.int32] = self._array("words")
            """(N,) number of whitespace-separated words of each text"""
        except (KeyError, TypeError, ValueError):  # not a mapping, a missing entry, or an unknown dtype
            raise GeneraError(
                f"{folder / 'about.json'} is damaged; delete the folder {folder.parent}, and it will be rebuilt."
            ) from None

    def __len__(self) -> int:
        return len(self._text)

    def texts(self, rows: Rows = slice(None)) -> list[str]:
        """The texts of these rows, in their order."""
        chosen = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows, np.int64)]
        start, stop = self._text.offsets[:-1][chosen], self._text.offsets[1:][chosen]
        return [self._text.flat[i:j].tobytes().decode() for i, j in zip(start, stop, strict=True)]

    def _ragged(self, name: str) -> Ragged:
        return Ragged(self._array(name), self._array(f"{name}.offsets"))

    def _array(self, name: str) -> NDArray:
        path = self.folder / f"{name}.bin"
        expected = self._about["files"][name]
        size = path.stat().st_size if path.exists() else 0
        if size != expected["bytes"]:
            raise GeneraError(
                f"{path} is damaged ({size} bytes instead of {expected['bytes']}); "
                f"delete the folder {self.folder.parent}, and it will be rebuilt."
            )
        if not size:
            return np.empty(0, expected["dtype"])
        # A plain view of the map: indexing a np.memmap itself is several times slower.
        return np.asarray(np.memmap(path, dtype=expected["dtype"], mode="r"))


class StoreWriter:
    """Writes the folder of a TokenStore chunk by chunk, in constant memory."""

    def __init__(self, folder: Path, tokenisers: Tokenisers, labelled: bool) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.items = 0
        self.tokens = 0
        self.words = 0
        self._dtypes: dict[str, str] = {"words": "int32"} | ({"labels": "int32"} if labelled else {})
        self._ragged = {"text": "uint8", "decoder": _smallest(tokenisers.decoder.size)}
        if tokenisers.encoder is not None:
            self._ragged["encoder"] = _smallest(tokenisers.encoder.size)
        for name, dtype in self._ragged.items():
            self._dtypes |= {name: dtype, f"{name}.offsets": "int64"}
        self._open = ExitStack()  # closes the files
        self._files: dict[str, IO[bytes]] = {}
        for name in self._dtypes:
            file = open(folder / f"{name}.bin", "wb")  # noqa: SIM115
            self._files[name] = self._open.enter_context(file)
        self._ends = dict.fromkeys(self._ragged, 0)
        for name in self._ragged:
            self._write(f"{name}.offsets", [0])

    def add(self, texts: Sequence[str], ids: dict[str, list[list[int]]], labels: Sequence[int] | None) -> None:
        """Append items: `ids` holds the token ids under "decoder" and, with an encoder, "encoder"."""
        encoded = [text.encode() for text in texts]
        self._append("text", np.frombuffer(b"".join(encoded), np.uint8), list(map(len, encoded)))
        for side, rows in ids.items():
            self._append(side, np.array([i for row in rows for i in row]), list(map(len, rows)))
        words = [len(text.split()) for text in texts]
        self._write("words", words)
        if labels is not None:
            self._write("labels", labels)
        self.items += len(texts)
        self.words += sum(words)
        self.tokens += sum(map(len, ids["decoder"]))

    def close(self, label_order: Sequence[int] = ()) -> None:
        """Finish the folder. Label i, as it was added, becomes label_order[i]."""
        self._open.close()
        labels = self.folder / "labels.bin"
        if "labels" in self._dtypes and labels.stat().st_size:
            stored = np.memmap(labels, dtype=np.int32, mode="r+")
            stored[:] = np.array(label_order, np.int32)[stored]
            stored.flush()
        files = {
            name: {"dtype": dtype, "bytes": (self.folder / f"{name}.bin").stat().st_size}
            for name, dtype in self._dtypes.items()
        }
        (self.folder / "about.json").write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")

    def _append(self, name: str, flat: NDArray, lengths: list[int]) -> None:
        self._write(name, flat)
        self._write(f"{name}.offsets", self._ends[name] + np.cumsum(lengths, dtype=np.int64))
        self._ends[name] += len(flat)

    def _write(self, name: str, values: NDArray | Sequence[int]) -> None:
        self._files[name].write(np.asarray(values).astype(self._dtypes[name]).tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()


def _smallest(size: int) -> str:
    return "uint16" if size <= 1 << 16 else "uint32"
