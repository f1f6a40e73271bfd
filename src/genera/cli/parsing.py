"""Command lines from typed Python with tyro, in the same style for all commands."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def parse(function: Callable[..., T] | type[T], arguments: list[str], command: str, **options: Any) -> T:
    """Call `function` with values parsed from `arguments`; its signature and docstring make the help."""
    return tyro.cli(function, args=arguments, prog=f"genera {command}", **options)


def print_json(value: Any) -> None:
    """Print JSON for programs on stdout."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False, default=str)
    print()
