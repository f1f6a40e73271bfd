"""The exceptions that users see: one sentence that names the thing, what was expected and the nearest fix."""

import difflib
from collections.abc import Iterable
from itertools import accumulate
from signal import SIGINT

SHOWN = 300
"""Maximum number of characters in a message of known names, of an unknown one, and of another library's reason."""


class GeneraError(Exception):
    """Bad input or a failed run. The command line prints the sentence and exits with 1."""


class Lacks(GeneraError):
    """This model lacks the requested part; others may have it."""


class FarFromTraining(UserWarning):
    """An input is unlike the data that the model was trained on."""


class Stopped(Exception):
    """A signal stopped the run; it is saved, and the same command resumes it."""

    def __init__(self, message: str, signal: int = SIGINT) -> None:
        super().__init__(message)
        self.signal = signal


def reason(error: BaseException) -> str:
    """The first line of an exception's message, shortened; the exception's type where there is no message."""
    lines = str(error).splitlines() or [""]
    return _shortened(lines[0]) or type(error).__name__


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def unknown(kind: str, name: str, known: Iterable[str]) -> GeneraError:
    """The error for an unknown `name`: suggests the closest known names, or lists all names if none is close."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    ends = accumulate(len(other) + 2 for other in known)
    shown = [other for other, end in zip(known, ends, strict=True) if end <= SHOWN]
    listed = ", ".join(shown) + (f" and {len(known) - len(shown)} more" if len(shown) < len(known) else "")
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {listed}."
    return GeneraError(f"unknown {kind} {_shortened(name)!r}; {hint}")
