"""Memory-mapped texts and tokens on disk: written in one pass, read by row number, possibly larger than memory."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from genera.data.vocabularies.tokenisers import Tokenisers
from genera.errors import GeneraError
from genera.files import read_json

ABOUT = "about.json"
Rows: TypeAlias = slice | Sequence[int] | NDArray[np.integer]


class Joined:
    """Arrays one after the other, read as one without copying them. The result of an access lies in memory."""

    def __init__(self, arrays: Sequence[NDArray]) -> None:
        self.arrays, self.dtype = arrays, arrays[0].dtype
        self.ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, places: slice | NDArray[np.integer]) -> NDArray:
        """places: a slice within one of the arrays, or numbers of any shape."""
        if not isinstance(places, slice):
            return self.take(places)
        start, stop, _ = places.indices(len(self))
        number = int(np.searchsorted(self.ends, start, side="right")) if start < stop else 0
        before = int(self.ends[number]) - len(self.arrays[number])
        return self.arrays[number][start - before : max(start, stop) - before]

    def take(self, places: NDArray[np.integer], mode: str = "raise") -> NDArray:
        """As ndarray.take of one axis; mode "clip" moves numbers beyond the ends to them."""
        if mode == "clip":
            places = np.clip(places, 0, len(self) - 1)
        flat = places.ravel()
        owners = np.searchsorted(self.ends, flat, side="right").astype(
            np.uint16 if len(self.ends) < 1 << 16 else np.int64
        )
        order = owners.argsort(kind="stable")
        numbers, firsts = np.unique(owners[order], return_index=True)
        result = np.empty(len(flat), self.dtype)
        for number, some in zip(numbers, np.split(order, firsts[1:]), strict=True):
            array = self.arrays[number]
            result[some] = array[flat[some] - (int(self.ends[number]) - len(array))]
        return result.reshape(places.shape)


@dataclass(frozen=True)
class Ragged:
    """N rows of different lengths in one flat array: row i is flat[offsets[i] : offsets[i + 1]]."""

    flat: NDArray[np.integer] | Joined
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

    Data is loaded on access. Texts and ids may lie in shards, which are stores of their own; see `join`.
    Raises GeneraError when a file is missing or truncated.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._about = read_json(folder / ABOUT)
        try:
            sides = {*self._about["files"], *self._about.get("ragged", ())}
            self._text = self._ragged("text")
            self.decoder = self._ragged("decoder")
            self.encoder = self._ragged("encoder") if "encoder" in sides else None
            self.labels: NDArray[np.int32] | None = self._array("labels") if "labels" in sides else None
            self.words: NDArray[np.int32] = self._array("words")
            """(N,) number of whitespace-separated words of each text"""
        except (KeyError, TypeError, ValueError):  # not a mapping, a missing entry, or an unknown dtype
            raise GeneraError(
                f"{folder / ABOUT} is damaged; delete the folder {folder.parent}, and it will be rebuilt."
            ) from None

    def __len__(self) -> int:
        return len(self._text)

    def texts(self, rows: Rows = slice(None)) -> list[str]:
        """The texts of these rows, in their order."""
        chosen = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows, np.int64)]
        start, stop = self._text.offsets[:-1][chosen], self._text.offsets[1:][chosen]
        return [self._text.flat[i:j].tobytes().decode() for i, j in zip(start, stop, strict=True)]

    def _ragged(self, name: str) -> Ragged:
        offsets = self._array(f"{name}.offsets")
        if "shards" not in self._about:
            return Ragged(self._array(name), offsets)
        folders = [self.folder.parents[1] / shard / self.folder.name for shard in self._about["shards"]]
        return Ragged(Joined([_mapped(folder, name, read_json(folder / ABOUT)) for folder in folders]), offsets)

    def _array(self, name: str) -> NDArray:
        return _mapped(self.folder, name, self._about)


def _mapped(folder: Path, name: str, about: dict[str, Any]) -> NDArray:
    """An array of a store. Its file does not stay open, so that there can be thousands."""
    path = folder / f"{name}.bin"
    expected = about["files"][name]
    size = path.stat().st_size if path.exists() else 0
    if size != expected["bytes"]:
        raise GeneraError(
            f"{path} is damaged ({size} bytes instead of {expected['bytes']}); "
            f"delete the folder {folder.parent}, and it will be rebuilt."
        )
    dtype = np.dtype(expected["dtype"])
    if not size:
        return np.empty(0, dtype)
    values = torch.from_file(str(path), size=size // dtype.itemsize, dtype=getattr(torch, dtype.name)).numpy()
    values.flags.writeable = False
    return values


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
            lengths = list(map(len, rows))
            self._append(side, np.fromiter(chain.from_iterable(rows), np.int64, sum(lengths)), lengths)
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
        _write_about(self.folder, self._dtypes)

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


def join(folder: Path, shards: Sequence[Path], labels: Sequence[Sequence[int]]) -> None:
    """Write the folder of a TokenStore of all rows of `shards`, which are stores in folders two levels up, in order.

    Texts and ids stay in the shards; what is small for each row (offsets, counts, labels) is joined.
    labels: for each shard, the numbers that its labels have in the whole.
    """
    folder.mkdir(parents=True)
    abouts = [read_json(shard / ABOUT)["files"] for shard in shards]
    ragged = [name for name in abouts[0] if f"{name}.offsets" in abouts[0]]
    for name in (name for name in abouts[0] if name not in ragged):
        end = 0
        with open(folder / f"{name}.bin", "wb") as file:
            for shard, about, order in zip(shards, abouts, labels, strict=True):
                values = _mapped(shard, name, {"files": about})
                if name == "labels" and len(values):
                    values = np.array(order, np.int32)[values]
                if name.endswith(".offsets"):  # begin with a 0, which is the last of those before
                    values, end = values[file.tell() > 0 :] + end, end + int(values[-1])
                file.write(values.tobytes())
    dtypes = {name: about["dtype"] for name, about in abouts[0].items() if name not in ragged}
    _write_about(folder, dtypes, ragged=ragged, shards=[shard.parent.name for shard in shards])


def _write_about(folder: Path, dtypes: dict[str, str], **more: Any) -> None:
    files = {name: {"dtype": t, "bytes": (folder / f"{name}.bin").stat().st_size} for name, t in dtypes.items()}
    (folder / ABOUT).write_text(json.dumps({"files": files, **more}, indent=1), encoding="utf-8")


def _smallest(size: int) -> str:
    return "uint16" if size <= 1 << 16 else "uint32"
