"""Command lines from typed Python with tyro, in the same style for all commands."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

from genera.errors import GeneraError

T = TypeVar("T")


def parse(function: Callable[..., T] | type[T], arguments: list[str], command: str, **options: Any) -> T:
    """Call `function` with values parsed from `arguments`; its signature and docstring make the help.

    Raises GeneraError for an option that is NaN or infinite.
    """
    parsed = tyro.cli(function, args=arguments, prog=f"genera {command}", **options)
    if not _finite(parsed):
        raise GeneraError("; ".join(_complaints(arguments)) + ".")
    return parsed


def _finite(value: Any) -> bool:
    """Whether a parsed command holds only finite numbers."""
    if dataclasses.is_dataclass(value):
        return all(_finite(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, dict | list | tuple):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _complaints(arguments: list[str]) -> list[str]:
    """About each word like nan, inf and 1e999, with the option before it."""
    complaints, option = [], ""
    for word in (word for argument in arguments for word in argument.split("=", 1)):
        if word.startswith("--"):
            option = word
        elif _not_finite(word):
            complaints.append(f"{option} must be a finite number, got {word}")
    return complaints


def _not_finite(word: str) -> bool:
    try:
        return not math.isfinite(float(word))
    except ValueError:
        return False


def print_json(value: Any) -> None:
    """Print JSON for programs on stdout."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False, default=str)
    print()
