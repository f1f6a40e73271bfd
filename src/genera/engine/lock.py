"""One writer at a time for a run folder. The system releases the lock when the process ends, however it ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genera.errors import GeneraError

WAIT = 1.0
"""Seconds to wait for the lock: `running` holds it for an instant."""


class FolderLock:
    """The lock of the folder `path`: `.lock` is locked, and `.writer` names the process that holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock, self.writer = path / ".lock", path / ".writer"
        self._identity: tuple[int, int] | None = None
        """Device and inode of the lock file while this object holds it."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Create the folder and hold its lock. Raises GeneraError when another process holds it."""
        from filelock import FileLock, Timeout

        if self.path.exists() and not self.path.is_dir():
            raise GeneraError(f"{self.path} is a file; a run needs a folder: choose another --out.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.lock)
            lock.acquire(timeout=WAIT)
        except Timeout:
            raise GeneraError(
                f"{self.path} is being written by another process{self._named()}; "
                "wait for it, stop it, or choose another --out."
            ) from None
        except (OSError, NotImplementedError) as error:  # filelock raises the latter where a file system has no locks
            reason = getattr(error, "strerror", None) or error
            raise GeneraError(f"cannot write in {self.path}: {reason}; choose another --out.") from None
        try:
            self._identity = self._present()
            with suppress(OSError):  # naming the holder is optional, and a full disk may prevent it
                self.writer.write_text(f"pid {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            if self._present() == self._identity:  # else the folder is another writer's by now
                with suppress(OSError):
                    self.writer.unlink()
            self._identity = None
            lock.release()

    def check(self) -> None:
        """Raise GeneraError if the folder that this object has locked was deleted, moved or replaced."""
        if self._identity is not None and self._present() != self._identity:
            raise GeneraError(
                f"{self.path} was deleted or moved while it was being written; nothing more is written. Rerun the "
                "command to start again, or move the folder back and rerun it to resume from its last checkpoint."
            )

    def running(self) -> bool:
        """Whether a process holds the lock. True if that cannot be found out, as in a read-only folder."""
        from filelock import FileLock, Timeout

        if not self.lock.exists():
            return False
        try:
            with FileLock(self.lock, timeout=0):
                return False
        except (Timeout, OSError, NotImplementedError):
            return True

    def _named(self) -> str:
        try:
            return f" ({self.writer.read_text(encoding='utf-8', errors='replace')})"
        except OSError:
            return ""

    def _present(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.lock)
        except OSError:
            return None
        return status.st_dev, status.st_ino
