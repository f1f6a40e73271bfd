"""Run every benchmark: `make bench`, or `python -m benchmarks NAME ...` for some."""

import importlib
import sys
from pathlib import Path

from genera.errors import GeneraError, unknown


def main(names: list[str]) -> None:
    known = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))
    for name in names:
        if name not in known:
            raise unknown("benchmark", name, known)
    for name in names or known:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"== {name}: {(module.__doc__ or '').splitlines()[0]}")
        module.main()
        print()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except GeneraError as error:
        sys.exit(f"error: {error}")
