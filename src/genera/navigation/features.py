"""Visual features of the 36 views of each viewpoint, and angle features.

The published files (Anderson et al. 2018) are TSV without a header: scan, viewpoint, image width, image height,
vertical field of view, and base64 of 36 x F little-endian float32. Later work uses HDF5 with 36 x F numbers under
"<scan>_<viewpoint>". Both are converted once to a memory-mapped float16 array in the cache.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genera.console import say, track
from genera.data.cache import build_once, cache_folder, identity
from genera.data.files import read_lines
from genera.errors import GeneraError, reason
from genera.files import open_file, read_json, write_json
from genera.navigation.config import Layout
from genera.navigation.graphs import HEADINGS, STEP, VIEWS, Graphs

HDF5 = (".hdf5", ".h5")
Row: TypeAlias = tuple[str, str, str, NDArray[np.floating]]
"""Position in the file (for messages), scan, viewpoint, and features."""
_COLUMNS = 6
_WIDEST = 1 << 20  # features of a view
_SHOWN = 3  # viewpoints named in a message


class Views(Protocol):
    """Features of panoramas."""

    @property
    def size(self) -> int:
        """F, the feature size of one view."""
        ...

    def gather(self, nodes: NDArray[np.integer]) -> NDArray[np.float32]:
        """(..., 36, F) the panoramas of nodes (...)."""
        ...


@dataclass(frozen=True)
class ArrayViews:
    """Panoramas in one array, in memory or on disk."""

    features: NDArray[np.floating]
    """(rows, 36, F)"""
    rows: NDArray[np.int64] | None = None
    """(N,) the row of each node, -1 for a missing one, which gets zeros; None: row i is node i"""

    @property
    def size(self) -> int:
        return self.features.shape[2]

    def gather(self, nodes: NDArray[np.integer]) -> NDArray[np.float32]:
        if self.rows is None:
            return self.features[nodes].astype(np.float32)
        rows = self.rows[nodes]
        views = self.features[np.maximum(rows, 0)].astype(np.float32)
        views[rows < 0] = 0.0
        return views


def open_features(path: Path, graphs: Graphs, allow_missing: bool = False) -> ArrayViews:
    """The features of a TSV (plain or .gz) or HDF5 file for the nodes of `graphs`, converted once and then cached.

    allow_missing: use zeros for viewpoints missing from the file, with a warning. Raises GeneraError when rows are
    missing otherwise, or are not 36 x F finite numbers with the same F.
    """
    if not path.exists():
        raise GeneraError(f"{path} does not exist; check --features.")
    open_file(path).close()  # raises an error for a pipe or a device
    folder = cache_folder() / f"features-{identity(path)}"  # hashing gigabytes takes as long as reading them
    build_once(folder, lambda temporary: convert(path, temporary))
    row_of = {tuple(name): row for row, name in enumerate(read_json(folder / "rows.json"))}
    scans = np.asarray(graphs.scans)[graphs.scan_of]
    rows = np.array([row_of.get((scan, name), -1) for scan, name in zip(scans, graphs.names, strict=True)])
    if (rows < 0).any():
        missing = [f"{scans[node]}/{graphs.names[node]}" for node in np.flatnonzero(rows < 0)[:_SHOWN]]
        problem = f"{path} lacks the features of {(rows < 0).sum()} of {len(rows)} viewpoints ({', '.join(missing)}, …)"
        if not allow_missing:
            raise GeneraError(f"{problem}; fetch the whole file, or use --allow-missing to replace them by zeros.")
        say(f"warning: {problem}; using zeros instead.")
    return ArrayViews(np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False), rows)


def convert(path: Path, folder: Path) -> None:
    """Write features.npy, (rows, 36, F) float16, and rows.json, [[scan, viewpoint], …], in constant memory."""
    names: dict[tuple[str, str], str] = {}
    width = 0
    rows = _rows_of_hdf5(path) if path.suffix in HDF5 else _rows_of_tsv(path)
    with open(folder / "body", "wb") as body:
        for where, scan, viewpoint, features in track(rows, f"converting {path.name}"):
            if features.size % VIEWS or not features.size:
                raise GeneraError(f"{where} has {features.size} numbers, which is not a multiple of 36 views.")
            width = width or features.size // VIEWS
            if features.size != VIEWS * width:
                raise GeneraError(
                    f"{where} has 36 x {features.size // VIEWS} features; the rows before have 36 x {width}."
                )
            if (scan, viewpoint) in names:
                first = names[scan, viewpoint]
                raise GeneraError(f"{where} repeats viewpoint {viewpoint} of scan {scan}, first seen at {first}.")
            names[scan, viewpoint] = where
            body.write(_half(features, where).tobytes())
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(names), VIEWS, width)}
    with open(folder / "features.npy", "wb") as file, open(folder / "body", "rb") as body:
        np.lib.format.write_array_header_1_0(file, header)
        _copy(body, file)
    (folder / "body").unlink()
    write_json(folder / "rows.json", list(names))


def _rows_of_tsv(path: Path) -> Iterator[Row]:
    for where, line in read_lines(path):
        row = line.rstrip("\r\n").split("\t")
        if len(row) != _COLUMNS:
            raise GeneraError(
                f"{where} has {len(row)} columns; {_COLUMNS} were expected (scan, viewpoint, …, features)."
            )
        try:
            features = np.frombuffer(base64.b64decode(row[-1], validate=True), "<f4")
        except (binascii.Error, ValueError):
            raise GeneraError(f"{where}: the last column is not base64 of float32 numbers.") from None
        yield where, row[0], row[1], features


def _rows_of_hdf5(path: Path) -> Iterator[Row]:
    try:
        import h5py
    except ImportError:
        raise GeneraError(f"{path} is HDF5, which needs h5py; pip install 'genera[hdf5]'.") from None
    try:
        with h5py.File(path) as file:
            for key, features in file.items():
                where, (scan, _, viewpoint) = f"{path}, {key}", key.rpartition("_")
                shape: tuple[int, ...] = getattr(features, "shape", ())
                if not scan or len(shape) != 2 or shape[0] != VIEWS or features.dtype.kind not in "fiu":
                    raise GeneraError(f"{where} is not an array of 36 views named SCAN_VIEWPOINT.")
                if shape[1] > _WIDEST:
                    raise GeneraError(
                        f"{where} declares {shape[1]:,} features a view; at most {_WIDEST:,} are expected."
                    )
                yield where, scan, viewpoint, features[...]
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise GeneraError(
            f"{path} cannot be read as HDF5 ({reason(error)}); it may be damaged; fetch it again."
        ) from None


def _half(features: NDArray[np.floating], where: str) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = features.astype("<f2")
    if not np.isfinite(half).all():
        raise GeneraError(f"{where} has features that are not finite or exceed ±65,504.")
    return half


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(1 << 22):
        target.write(block)


# -- angles -----------------------------------------------------------------------------------------------------------


def angle_features(
    heading: ArrayLike, elevation: ArrayLike, size: int = 128, layout: Layout = "block"
) -> NDArray[np.float32]:
    """(..., size) sin ψ, cos ψ, sin ω, cos ω of relative headings ψ and absolute elevations ω in radians.

    layout: "block" repeats each of the four numbers size/4 times, as in the pre-trained encoder (Hao et al. 2020);
    "tiled" repeats the quadruple, as in EnvDrop. A model must always use the same layout.
    """
    if size % 4 or size <= 0:
        raise GeneraError(f"the angle size is {size}; it must be a positive multiple of 4.")
    four = np.stack([f(angle) for angle in np.broadcast_arrays(heading, elevation) for f in (np.sin, np.cos)], axis=-1)
    repeated = np.repeat(four, size // 4, axis=-1) if layout == "block" else np.tile(four, size // 4)
    return repeated.astype(np.float32)


def view_angles(size: int = 128, layout: Layout = "block") -> NDArray[np.float32]:
    """(12, 36, size) the angle features of all views for an agent facing each of the 12 headings."""
    level, step = np.divmod(np.arange(VIEWS), HEADINGS)
    relative = STEP * (step - np.arange(HEADINGS)[:, None])
    return angle_features(relative, STEP * (level - 1), size, layout)
