"""Safe reading of pickles: only numpy arrays, strings, numbers, lists and dicts; no code is executed."""

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genera.errors import GeneraError, reason
from genera.files import open_file


def _reconstruct(kind: object, shape: object, code: object) -> NDArray[np.int8]:
    """An empty array; pickle then sets its shape, dtype and content, which must agree."""
    return np.empty(0, np.int8)


_ALLOWED = {
    ("numpy", "ndarray"): "ndarray",  # only an argument of _reconstruct; not callable, so that it allocates nothing
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not plain data")
        return _ALLOWED[module, name]


def read_pickle(path: Path) -> Any:
    """The object in `path`; Python 2 strings become bytes. Raises GeneraError when it is damaged or not plain data."""
    try:
        with open_file(path) as file:
            return _Unpickler(file, encoding="bytes").load()
    except GeneraError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise GeneraError(
            f"{path} is damaged or not a pickle of plain data ({reason(error)}); fetch it again."
        ) from None
