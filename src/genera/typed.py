"""Check that a value read from JSON or YAML has a type, before it is used."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genera.errors import GeneraError
from genera.files import read_json

LARGEST = 2**1000
"""Integers above are larger than any float."""
NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def read_typed(path: Path, hint: Any, fix: str = "restore it") -> Any:
    """Read a JSON file whose value has the type `hint`; see `mismatch`. Raises GeneraError, with `fix`, for another."""
    value = read_json(path)
    if problem := mismatch(value, hint):
        raise GeneraError(f"{path} is damaged ({problem}); {fix}.")
    return value


def mismatch(value: Any, hint: Any, where: str = "it") -> str | None:
    """The first part of `value` that is not of the type `hint`, as a phrase: `it.files is a list; a mapping was
    expected`. None if all of it fits.

    hint: a dataclass (a mapping with its fields; further entries are ignored), list, tuple, dict, Literal, a union, a
    plain type or Any. Tuples are lists in JSON; null is a float, which stands for one that is not finite.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return None
    if is_dataclass(hint):
        return _of_dataclass(value, hint, where)
    if origin in (Union, types.UnionType):
        problems = [mismatch(value, one, where) for one in arguments]
        fitting = [hint for hint in arguments if get_origin(hint) is not None or is_dataclass(hint)]
        first = problems[arguments.index(fitting[0])] if len(fitting) == 1 and isinstance(value, dict | list) else None
        return None if None in problems else first or _wrong(value, where, " or ".join(map(_name, arguments)))
    if origin is Literal:
        return None if value in arguments else _wrong(value, where, " or ".join(map(repr, arguments)))
    kind = origin or hint
    if kind in (list, Sequence, tuple):
        if not isinstance(value, list | tuple):
            return _wrong(value, where, "a list")
        fixed = kind is tuple and arguments and Ellipsis not in arguments
        if fixed and len(value) != len(arguments):
            return f"{where} has {len(value)} entries; {len(arguments)} were expected"
        hints = arguments if fixed else [arguments[0] if arguments else Any] * len(value)
        return _first(
            mismatch(one, hint, f"{where}[{i}]") for i, (one, hint) in enumerate(zip(value, hints, strict=True))
        )
    if kind in (dict, Mapping):
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            return _wrong(value, where, "a mapping")
        inner = arguments[1] if arguments else Any
        return None if inner is Any else _first(mismatch(one, inner, f"{where}.{key}") for key, one in value.items())
    if kind is float:
        fits = value is None or type(value) is float or (type(value) is int and abs(value) < LARGEST)
    elif kind is int:
        fits = type(value) is int and abs(value) < 2**63
    else:
        fits = isinstance(value, kind)
    return None if fits else _wrong(value, where, _name(kind))


def _of_dataclass(value: Any, kind: Any, where: str) -> str | None:
    if not isinstance(value, dict):
        return _wrong(value, where, "a mapping")
    hints = get_type_hints(kind)
    for field in fields(kind):
        if field.name in value:
            if problem := mismatch(value[field.name], hints[field.name], f"{where}.{field.name}"):
                return problem
        elif field.default is field.default_factory is MISSING:
            return f"{where} lacks {field.name!r}"
    return None


def _first(problems: Any) -> str | None:
    return next(filter(None, problems), None)


def _wrong(value: Any, where: str, expected: str) -> str:
    kinds = {dict: "a mapping", list: "a list", tuple: "a list"} | NAMES
    shown = kinds.get(type(value), type(value).__name__) if isinstance(value, dict | list | tuple) else repr(value)[:40]
    return f"{where} is {shown}; {expected} was expected"


def _name(kind: Any) -> str:
    return NAMES.get(kind) or ("a list" if (get_origin(kind) or kind) in (list, tuple, Sequence) else "a mapping")
