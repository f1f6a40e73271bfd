"""The estimate of a mean, with its standard error. Imports no torch."""

import math
from typing import Any

import numpy as np

from genera.errors import GeneraError
from genera.measures.schema import Estimate


def mean_estimate(values: Any) -> Estimate:
    """Mean and analytic standard error, s/√n with the unbiased s, of (N,) numbers or truth values.

    `values` is a sequence, an array or a tensor on the CPU. Raises GeneraError when it is empty.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise GeneraError("a mean over no items was asked for; give at least one.")
    if not np.isfinite(array).all():  # a spread of infinities is undefined: keep the mean, which says so
        return Estimate(float(array.mean()), None, array.size)
    error = float(array.std(ddof=1)) / math.sqrt(array.size) if array.size > 1 else None
    return Estimate(float(array.mean()), error, array.size)
