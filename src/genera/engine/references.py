"""References: frozen teachers and other read-only dependencies of a method, identified by path and content hash.

A run records them in `references.json` when it begins. Checkpoints do not copy them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from genera.data.cache import file_hash
from genera.engine.config import to_dict
from genera.engine.folder import RunFolder
from genera.engine.loading import load_method, sketch_method
from genera.engine.shipped import SHIPPED
from genera.errors import GeneraError
from genera.files import read_json, write_json
from genera.typed import mismatch

FILE = "references.json"


class Record(NamedTuple):
    """A reference as recorded when the run began."""

    path: str
    """An absolute path, a path relative to the run folder, or the name of a shipped run."""
    checkpoint: int | None
    """Step of the checkpoint, for a run."""
    sha256: str
    """Hash of a run's model config, assets, artefacts and weights; of a folder's files with names; or of a file."""


@dataclass(frozen=True)
class _Entry:
    """A Record in references.json."""

    path: str
    checkpoint: int | None
    sha256: str


class Reference:
    """A run folder, which opens as its frozen trained method; or any other folder or file, which opens as its path."""

    def __init__(self, name: str, path: str | Path) -> None:
        self.name, self.path = name, str(path)
        self.run: Path | None = None
        self.record: Record | None = None
        self.opened: Any = None

    def belongs_to(self, run: Path) -> None:
        """Check the reference against its record in the run folder `run` from now on."""
        self.run = run
        if (run / FILE).is_file():
            entries = read_json(run / FILE)
            if mismatch(entries, dict[str, _Entry]) or self.name not in entries:
                raise GeneraError(f"{run / FILE} is damaged (it has no reference {self.name!r}); restore it.")
            entry = entries[self.name]
            self.record = Record(entry["path"], entry["checkpoint"], entry["sha256"])

    def open(self, *, verify: bool = True) -> Any:
        """The frozen method, or the path. It is loaded once.

        verify: compare the content with the record, or create the record if there is none.
        Raises GeneraError when it is missing or has changed since the run began.
        """
        if self.opened is None:
            path = self._find()
            if (Path(path) / "config.yaml").is_file() or _is_shipped(path):
                self.opened, checkpoint, digest = self._open_run(path, verify)
            else:
                self.opened, checkpoint = Path(path), None
                digest = content_hash([self.opened]) if verify else ""
            if verify:
                self._verify(path, checkpoint, digest)
        return self.opened

    def sketch(self) -> None:
        """Open it on the meta device, for `--dry-run`."""
        path = self._find()
        is_run = (Path(path) / "config.yaml").is_file() or _is_shipped(path)
        self.opened = sketch_method(path).requires_grad_(False).eval() if is_run else Path(path)

    def _find(self) -> str:
        """The current location: the recorded path, or the path in the config."""
        candidates = [self.path]
        if self.record and self.run:
            candidates = [str(self.run / self.record.path), self.record.path, self.path]
        for candidate in candidates:
            if Path(candidate).exists() or _is_shipped(candidate):
                return candidate
        advice = f"; put it back, or write its new path into {self.run / FILE}" if self.record and self.run else ""
        raise GeneraError(f"reference {self.name!r} is missing: {self.path} does not exist{advice}.")

    def _open_run(self, path: str, verify: bool) -> tuple[Any, int, str]:
        which = str(self.record.checkpoint) if self.record else "last"
        try:
            loaded = load_method(path, which)
        except GeneraError as error:
            raise GeneraError(f"reference {self.name!r}: {error}") from None
        method = loaded.method.requires_grad_(False).eval()
        config = {"method": loaded.config.method, "model": to_dict(loaded.config.model)}
        digest = content_hash(loaded.files, json.dumps(config, sort_keys=True)) if verify else ""
        return method, int(loaded.checkpoint.name.removeprefix("step-")), digest

    def _verify(self, path: str, checkpoint: int | None, digest: str) -> None:
        if self.record is None:
            self.record = Record(self._recorded_path(path), checkpoint, digest)
        elif self.record.sha256 != digest:
            raise GeneraError(
                f"reference {self.name!r} has changed: {path} is not what {self.run or 'this run'} started with "
                f"(sha256 {digest[:12]}… instead of {self.record.sha256[:12]}…); restore it, or start a new run with "
                "another --out."
            )

    def _recorded_path(self, path: str) -> str:
        if self.run is None or Path(path).is_absolute() or _is_shipped(path):
            return path
        return os.path.relpath(path, self.run)


def open_references(references: Mapping[str, Reference], folder: RunFolder, *, new: bool, main: bool) -> None:
    """Open the references of a run. The main rank goes first and verifies them, or records them for a new run.

    Raises GeneraError when a reference is missing or has changed.
    """
    for reference in references.values():
        reference.run = folder.path
        if not (new and main):
            reference.belongs_to(folder.path)
            if reference.record is None:
                raise GeneraError(
                    f"{folder.path / FILE} is missing; restore it, or start a new run with another --out."
                )
        reference.open(verify=main)
    if new and main and references:
        records = {name: reference.record._asdict() for name, reference in references.items() if reference.record}
        write_json(folder.path / FILE, records)


def content_hash(paths: Iterable[Path], *facts: str) -> str:
    """sha256 of texts, files and folders (all files below, with their names). Raises GeneraError for an unreadable
    one."""
    digest = hashlib.sha256("\0".join(facts).encode())
    for path in paths:
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            name = file.relative_to(path).as_posix() if file != path else file.name
            digest.update(f"\0{name}\0{file_hash(file)}".encode())
    return digest.hexdigest()


def _is_shipped(path: str) -> bool:
    return path in SHIPPED and not Path(path).exists()
