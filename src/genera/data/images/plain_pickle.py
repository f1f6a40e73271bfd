"""Safe reading of pickles: only numpy arrays, strings, numbers, lists and dicts; no code is executed."""

import pickle
from pathlib import Path
from typing import Any

from genera.errors import GeneraError

_RECONSTRUCT = {(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
_ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), *_RECONSTRUCT}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not plain data")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_pickle(path: Path) -> Any:
    """The object in `path`; Python 2 strings become bytes. Raises GeneraError when it is damaged or not plain data."""
    try:
        with open(path, "rb") as file:
            return _Unpickler(file, encoding="bytes").load()
    except OSError as error:
        raise GeneraError(f"cannot read {path}: {error.strerror}.") from None
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GeneraError(f"{path} is damaged or not a pickle of plain data ({reason}); fetch it again.") from None
