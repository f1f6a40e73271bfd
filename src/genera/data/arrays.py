"""Arrays of .npz files, checked against the file's own sizes before memory is allocated for them."""

import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError, reason
from genera.files import open_file

EXPANSION = 300
"""Largest ratio of content to file size that is believed above BELIEVED; deflate reaches 1,032 on constant content."""
BELIEVED = 1 << 28
"""Content, in bytes, that is read at any ratio."""


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray]:
    """The arrays of an .npz file, all of them or those among `names`.

    Raises GeneraError when it is damaged, is another kind of file, has an array of Python objects, or declares more
    than it holds or this machine can hold.
    """
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {
                    member.filename.removesuffix(".npy"): member
                    for member in archive.infolist()
                    if names is None or member.filename.removesuffix(".npy") in names
                }
                _check_sizes(path, list(members.values()))
                arrays = {}
                for name, member in members.items():
                    with archive.open(member) as opened:
                        _check_header(path, name, opened, member.file_size)
                    with archive.open(member) as opened:
                        arrays[name] = np.lib.format.read_array(opened, allow_pickle=False)
        except GeneraError:
            raise
        except Exception as error:  # a damaged archive can raise almost anything
            problem = reason(error)
            file.seek(0)
            if file.read(6) == b"\x93NUMPY":
                problem = "it is one .npy array; save it with np.savez"
            raise GeneraError(
                f"{path} is not a readable .npz of plain arrays ({problem}); recreate the file."
            ) from None
    return arrays


def _check_sizes(path: Path, members: list[zipfile.ZipInfo]) -> None:
    declared, stored = sum(m.file_size for m in members), path.stat().st_size
    if declared > BELIEVED and declared > EXPANSION * stored:
        raise GeneraError(f"{path} declares {declared:,} bytes in a file of {stored:,}; it is damaged or a zip bomb.")
    if declared > physical_memory():
        raise GeneraError(
            f"the arrays of {path} take {declared / 2**30:,.1f} GB, and this machine has "
            f"{physical_memory() / 2**30:,.1f} GB of memory; split the file."
        )


def _check_header(path: Path, name: str, opened: IO[bytes], size: int) -> None:
    """Raise GeneraError when the shape and dtype of an array do not account for the bytes that follow the header."""
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(opened)
    declared = dtype.itemsize
    for length in shape:
        declared *= length
    if not dtype.hasobject and declared != size - opened.tell():
        held = size - opened.tell()
        raise GeneraError(
            f"{path}: the array {name!r} declares {declared:,} bytes and holds {held:,}; recreate the file."
        )


def physical_memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return float("inf")
