"""Command lines from typed Python with tyro, in the same style for all commands."""

import dataclasses
import json
import math
import sys
import types
from collections.abc import Callable
from typing import Any, TypeVar, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from genera.errors import GeneraError

T = TypeVar("T")


def parse(function: Callable[..., T] | type[T], arguments: list[str], command: str, **options: Any) -> T:
    """Call `function` with values parsed from `arguments`; its signature and docstring make the help.

    Raises GeneraError for an option that is NaN or infinite.
    """
    with _numbers:
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


_numbers = ConstructorRegistry()
_NAMES = {int: "a whole number", float: "a number"}


@_numbers.primitive_rule
def _number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Numbers and tuples of numbers, optional or not. tyro's own messages name Python's types and functions instead of
    what to give."""
    hints = get_args(info.type) if get_origin(info.type) in (Union, types.UnionType) else (info.type,)
    optional = type(None) in hints
    hint, *others = [hint for hint in hints if hint is not type(None)] or [None]
    parts = get_args(hint) if get_origin(hint) is tuple else ()
    kinds = set(parts) - {Ellipsis} or {hint}
    kind = kinds.pop()
    if others or kinds or kind not in _NAMES:
        return None
    name, many, count = kind.__name__.upper(), Ellipsis in parts, len(parts) or 1

    def convert(word: str) -> Any:
        try:
            return kind(word)
        except ValueError:
            raise ValueError(f"{_NAMES[kind]} is expected, got {word!r}") from None

    def read(words: list[str]) -> Any:
        if optional and words == ["None"]:
            return None
        if not many and len(words) != count:
            raise ValueError(f"{count} numbers are expected, got {' '.join(words) or 'none'}")
        values = tuple(map(convert, words))
        return values if parts else values[0]

    def shown(value: Any) -> list[str]:
        return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]

    return PrimitiveConstructorSpec(
        nargs="*" if many else (1, count) if optional and count > 1 else count,
        metavar=f"[{name} [{name} ...]]" if many else " ".join([name] * count),
        instance_from_str=read,
        is_instance=lambda value: (optional and value is None) or isinstance(value, tuple if parts else (kind, int)),
        str_from_instance=shown,
    )


def print_json(value: Any) -> None:
    """Print JSON for programs on stdout."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False, default=str)
    print()
