"""Test kit for methods, of this package and of others.

    from genera.testing import Case, MethodTests

    class TestMyVae(MethodTests):
        tiny = Case(method="my-vae:nano", overrides={"data.limit": 200})

Killed at any instant it resumes bit-identically, two ranks equal one, accumulated parts equal the whole batch, every
parameter learns, and it loads, evaluates and reports. `promises` has the same checks as functions, without pytest.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genera.testing.processes import forked, started
    from genera.testing.runs import Case
    from genera.testing.suite import MethodTests

__all__ = ["Case", "MethodTests", "forked", "started"]

_MODULES = {"Case": "runs", "MethodTests": "suite", "forked": "processes", "started": "processes"}


def __getattr__(name: str) -> Any:
    """On first use: pytest is needed for MethodTests alone."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
