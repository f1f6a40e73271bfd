"""The one exception a user meets: a sentence that names the thing, what was expected and the nearest fix."""

import difflib
from collections.abc import Iterable

SHOWN = 20


class GeneraError(Exception):
    """Bad input or a failed run. The command line prints the sentence and exits with 1."""


class Lacks(GeneraError):
    """This model has not got the part that was asked for; others may."""


def unknown(kind: str, name: str, known: Iterable[str]) -> GeneraError:
    """The error for an unknown `name`: suggests the closest known names, or lists them all when none is close."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    listed = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {listed}."
    return GeneraError(f"unknown {kind} {name!r}; {hint}")
