"""Support for the training loop: seeds, batch prefetching in a thread, and stop signals."""

import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType

import numpy as np
import torch

from genera.console import SIGPIPE, stderr
from genera.data.batch import Batch, Stream

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the global state is what is seeded)
    torch.manual_seed(seed)


@contextmanager
def prefetched(stream: Stream, first: int) -> Iterator[Callable[[int], Batch]]:
    """fetch(step) → batch; a thread prefetches the next one."""
    with ThreadPoolExecutor(1, "batches") as pool:
        ready: dict[int, Future[Batch]] = {first: pool.submit(stream.batch, first)}

        def fetch(index: int) -> Batch:
            batch = ready.pop(index).result()
            ready[index + 1] = pool.submit(stream.batch, index + 1)
            return batch

        yield fetch


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM, SIGHUP (a closed terminal) and the first Ctrl-C instead of exiting, and SIGPIPE when the reader
    of the messages has gone (`2>&1 | head`). A second Ctrl-C interrupts immediately. Signals that the process was
    started to ignore (`nohup`) stay ignored."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    stderr.reader_gone = lambda: received.append(SIGPIPE)
    previous = {}
    try:
        with suppress(ValueError):  # not in the main thread, which handles signals itself
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    previous[number] = signal.signal(number, remember)
        yield received
    finally:
        stderr.reader_gone = None
        for number, handler in previous.items():
            signal.signal(number, handler)
