"""A process that imports torch and genera once and forks a child for each job, which then starts in milliseconds.

It must stay fit to be forked: one thread, no backward pass, no open process group. Jobs come as JSON lines on stdin,
results go as JSON lines to stdout; `processes.py` is the other end.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "torch._dynamo",
    "torch.distributed",
    "genera.engine.train",
    "genera.evaluation.evaluate",
    "genera.report.page",
)
"""The first is what every optimiser of torch imports when it is made, in two seconds."""
GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL to the ranks that are left when one has failed."""


def main() -> None:
    import torch

    torch.set_num_threads(1)
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # collections in the children then leave the shared pages alone
    for line in sys.stdin.buffer:
        print(json.dumps(_serve(json.loads(line))), flush=True)


def _serve(job: dict[str, Any]) -> dict[str, Any]:
    for module in job["imports"]:
        try:
            importlib.import_module(module)
        except Exception:
            return {"returncode": 1, "stdout": "", "stderr": traceback.format_exc()}
    folder, world = Path(job["folder"]), job["ranks"]
    port = _free_port() if world > 1 else 0
    running: dict[int, int] = {}
    for rank in range(world):
        places = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": world,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        environment = job["environment"] | ({key: str(value) for key, value in places.items()} if world > 1 else {})
        pid = os.fork()
        if pid == 0:
            _child(job, environment, folder, rank)
        running[pid] = rank
    started = time.monotonic()
    codes = _wait(running, started + job["timeout"])
    failed = next((code for code in codes if code), 0)
    texts = {
        stream: "".join((folder / f"{stream}-{rank}").read_text(errors="replace") for rank in range(world))
        for stream in ("stdout", "stderr")
    }
    if time.monotonic() - started > job["timeout"]:
        texts["stderr"] += f"killed after {job['timeout']} seconds"
    return {"returncode": failed, **texts}


def _wait(running: dict[int, int], deadline: float) -> list[int]:
    """The exit code of each process in the order in which they end, -N for signal N. When one fails the others are
    ended, as torchrun does; at the deadline all are."""
    codes = []
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            del running[pid]
            codes.append(os.waitstatus_to_exitcode(status))
            if codes[-1]:
                for other in running:
                    os.kill(other, signal.SIGTERM)
                deadline = min(deadline, time.monotonic() + GRACE)
        elif time.monotonic() > deadline:
            for other in running:
                os.kill(other, signal.SIGKILL)
            deadline = float("inf")
        else:
            time.sleep(0.002)
    return codes


def _child(job: dict[str, Any], environment: dict[str, str], folder: Path, rank: int) -> NoReturn:
    code = 1
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / f"{name}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(job["directory"])
        module, _, name = job["target"].partition(":")
        code = getattr(importlib.import_module(module), name)(*job["arguments"], **job["options"]) or 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # as the interpreter does with it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_script(path: str, *words: str) -> None:
    """What `python PATH WORDS` does."""
    sys.argv = [path, *words]
    runpy.run_path(path, run_name="__main__")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
