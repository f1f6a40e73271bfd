"""What one figure of an evaluation means. Imports no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Definition:
    name: str
    """its key in evaluation.json"""
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    text: str
    """one or two sentences for somebody who has not read the paper"""
    source: str = ""
    group: str = "Other"
