"""One folder a published method. Adding a folder whose `__init__` registers an Entry is all it takes."""

import importlib
import pkgutil


def discover() -> None:
    """Import every method's folder (their `__init__`s hold presets and no torch)."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
