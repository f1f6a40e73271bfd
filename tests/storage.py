"""Places that cannot be written: a small disk that is full, and a folder that is read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(where: Path, size: str = "1m") -> Iterator[Path]:
    """A disk of its own, of `size`, mounted at the new folder `where`; skips the test where that is not allowed."""
    where.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where))
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """A new file that takes all room of `disk` but `leave` bytes."""
    filler = disk / f".filler-{len(list(disk.glob('.filler-*')))}"
    state = os.statvfs(disk)
    filler.write_bytes(b"\0" * max(0, state.f_bavail * state.f_frsize - leave))
    return filler


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """`folder`, that nobody may write for the while."""
    if os.geteuid() != 0:
        folders = [folder, *(p for p in folder.rglob("*") if p.is_dir())]
        for each in folders:
            each.chmod(0o500)
        try:
            yield folder
        finally:
            for each in folders:
                each.chmod(0o700)
        return
    _mount("--bind", str(folder), str(folder))  # root may write whatever the mode says, but not on such a disk
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*words: str) -> None:
    try:
        done = subprocess.run(["mount", *words], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here ({done.stderr.strip()})")
