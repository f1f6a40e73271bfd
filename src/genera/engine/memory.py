"""Refuse a model that does not fit in memory before anything is read or allocated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from genera.data.arrays import physical_memory
from genera.engine.config import RunConfig
from genera.errors import GeneraError

NEAR = 8
"""Options within this factor of the largest one are named."""


def check_memory(implementation: Any, config: RunConfig, *, parts: int = 1, here: int = 1) -> None:
    """Raise GeneraError, with the options to lower, when the weights alone need more memory than this machine has.

    parts: ranks over which the weights are divided. here: ranks on this machine.

    Builds the method on the meta device, without memory. A method of another package that cannot be built there is not
    checked.
    """
    try:
        with torch.device("meta"), countable(config):
            assets, _ = implementation.dataset.sketch(config.data, 1)
            method = implementation(config.model, assets)
    except GeneraError:
        raise
    except Exception:  # whatever another package's method does without memory
        return
    parameters = sum(parameter.numel() for parameter in method.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in method.parameters())
    held = size / parts * min(here, parts)
    if held > physical_memory():
        share = f", {held / 2**30:,.0f} GB of them here" if parts > 1 else ""
        raise GeneraError(
            f"this model has {parameters:.3g} parameters, whose weights alone take {size / 2**30:,.0f} GB{share}, and "
            f"this machine has {physical_memory() / 2**30:,.0f} GB of memory; lower {_largest(config)}."
        )


@contextmanager
def countable(config: RunConfig) -> Iterator[None]:
    """Raise GeneraError, with the options to lower, where a tensor without memory overflows torch's 64-bit sizes."""
    try:
        yield
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise GeneraError(f"this model has more weights than can be counted; lower {_largest(config)}.") from None


def _largest(config: RunConfig) -> str:
    """`--encoder.hidden 1000000000`: the largest whole numbers among the options of the model and its data."""
    options = dict([*_numbers(config.model), *_numbers(config.data)])
    most = max(options.values(), default=0)
    named = sorted((name for name, value in options.items() if value * NEAR >= most), key=options.__getitem__)
    return " and ".join(f"--{name.replace('_', '-')} {options[name]}" for name in reversed(named)) or "its options"


def _numbers(config: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _numbers(value, f"{prefix}{field.name}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{prefix}{field.name}", value
