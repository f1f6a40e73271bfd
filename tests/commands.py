"""The command line in this process: what `genera WORDS` prints, says and returns."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genera.cli.crash import EXIT
from genera.cli.main import main

TINY = "train optimus:nano --data world:captions-small --limit 2000 --steps 60 --batch-size 16 --vocabulary 400"
QUICK = (
    "--likelihood.items 30 --likelihood.samples 12 --latent.items 40 --reconstruction.items 40 --samples.items 40 "
    "--samples.count 16 --interpolation.pairs 2 --analogy.count 20"
)
"""An evaluation of seconds."""


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def error(self) -> str:
        """The one sentence of a command that failed. An exception that is no sentence never gets here."""
        assert self.code == 1, (self.code, self.out, self.err)
        (message,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.err.endswith(message + "\n")
        assert "Traceback" not in self.err
        return message.removeprefix("error: ")


def genera(*words: object, typed: str = "", crashes: bool = False) -> Result:
    """Run `genera WORDS` with `typed` on standard input, as the `genera` script would.

    crashes: an exception that no command explains is expected; otherwise it fails the test.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    keyboard, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(typed.encode()))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main([str(word) for word in words])
            except SystemExit as ended:  # as the interpreter does with it
                if isinstance(ended.code, str):
                    print(ended.code, file=sys.stderr)
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdin = keyboard
    said = err.getvalue()
    if code == EXIT and not crashes:
        raise AssertionError(Path(said.rstrip(".\n").rpartition(" is in ")[2]).read_text())
    return Result(code, out.getvalue(), said)


def train(out: Path, *words: object) -> Result:
    return genera(*TINY.split(), *words, "--out", out)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, to see that nothing was lost or changed. (The lock names its last holder.)"""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
