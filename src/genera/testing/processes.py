"""Call a function in a process of its own, or in several ranks: forked from a warm process, or truly started."""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

Done = subprocess.CompletedProcess[str]

FIRST, AGAIN = 1, 2
"""Two hash seeds. Forks of one process share the order of their sets; a result that depends on it differs between
forks of processes with different hash seeds."""


def forked(
    target: str,
    *arguments: Any,
    ranks: int = 1,
    imports: Sequence[str] = (),
    hash_seed: int = AGAIN,
    timeout: float = 3600,
    directory: str | Path | None = None,
    **options: Any,
) -> Done:
    """Call the function `target` ("module:function") with JSON values in a forked process with one thread, and wait.

    The process has this one's environment, and modules as imported, not as patched here. What the function returns is
    the exit code; None is 0.

    ranks: so many processes, which join through gloo; when one fails the others are ended.
    imports: modules that the warm process imports first, once.
    timeout: seconds after which the processes are killed, so that a hanging one does not hang its caller.
    directory: working folder [this process's].

    On Windows, which cannot fork, it starts a new interpreter instead.
    """
    if not hasattr(os, "fork"):
        return started(
            target, *arguments, ranks=ranks, imports=imports, timeout=timeout, directory=directory, **options
        )
    server = _server(hash_seed)
    assert server.stdin
    assert server.stdout
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "target": target,
            "arguments": arguments,
            "options": options,
            "ranks": ranks,
            "imports": list(imports),
            "timeout": timeout,
            "folder": folder,
            "directory": str(directory or os.getcwd()),
            "environment": dict(os.environ),
        }
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
    if not answer:
        raise RuntimeError(f"the fork server ended with {server.wait()} during {target}")
    return subprocess.CompletedProcess([target, *map(str, arguments)], **json.loads(answer))


def forked_script(path: Path, *words: object, ranks: int = 1) -> Done:
    """Run a Python file as `python PATH WORDS`, or under torchrun with that many ranks, in forked processes."""
    return forked("genera.testing.fork_server:run_script", str(path), *map(str, words), ranks=ranks)


def started(
    target: str,
    *arguments: Any,
    ranks: int = 1,
    imports: Sequence[str] = (),
    timeout: float | None = None,
    directory: str | Path | None = None,
    **options: Any,
) -> Done:
    """As `forked`, in a new interpreter, or as many as `ranks` under torchrun. Raises subprocess.TimeoutExpired."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    call = json.dumps([target, list(imports), arguments, options])
    command = [sys.executable, *launcher, "-m", "genera.testing.call", call]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=timeout, cwd=directory)


def environment() -> dict[str, str]:
    """That of a new process that finds the modules that this one finds, and computes with one thread."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}


@cache
def _server(hash_seed: int) -> "subprocess.Popen[str]":
    server = subprocess.Popen(
        [sys.executable, "-m", "genera.testing.fork_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment() | {"PYTHONHASHSEED": str(hash_seed)},
        start_new_session=True,  # Ctrl-C is for this process, which then ends that one
    )
    atexit.register(server.communicate)  # closes its input, at which it ends, and waits
    return server
