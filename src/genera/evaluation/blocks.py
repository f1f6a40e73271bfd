"""Typed blocks of a report. Evaluators create them, run folders store them as JSON, `report/` draws them. No torch."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

Cell = str | float | bool | tuple[float, float] | None
"""Table cell: a text, a number, a number and its spread (±), or a boolean, drawn as a tick or a cross."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Fields of every block."""

    kind: ClassVar[str]
    section: str
    """Heading in the report; blocks of one section are shown together."""
    title: str = ""
    lead: str = ""
    """A sentence on how to read the block."""

    def plain(self) -> dict[str, Any]:
        """JSON values, including `kind`."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Remarks(Block):
    """Sentences, each in its own paragraph."""

    kind: ClassVar[str] = "remarks"
    sentences: list[str]


@dataclass(frozen=True, kw_only=True)
class Table(Block):
    kind: ClassVar[str] = "table"
    columns: list[str]
    rows: list[list[Cell]]
    units: list[str] = field(default_factory=list)
    """Unit of each column (`share` is drawn as a percentage); empty: none."""


@dataclass(frozen=True, kw_only=True)
class Curves(Block):
    kind: ClassVar[str] = "curves"
    series: dict[str, list[tuple[float, float]]]
    """Name → points (x, y)."""
    x: str
    """Axis title with its unit."""
    y: str
    from_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class Bars(Block):
    """Columns in the given order, such as the KL of each latent dimension."""

    kind: ClassVar[str] = "bars"
    values: list[float]
    labels: list[str]
    """Label of each column, shown as a tooltip."""
    x: str = ""
    """What the columns are, numbered from 1: dimension, house, …"""
    y: str


@dataclass(frozen=True, kw_only=True)
class Shares(Block):
    """A bar for each name with a reference mark: the frequency of a value in model outputs and in the data, or the
    accuracy of a factor and its chance level."""

    kind: ClassVar[str] = "shares"
    values: dict[str, dict[str, float]]
    """Name → {bar: share, mark: share}."""
    bar: str = "generated"
    mark: str = "data"


@dataclass(frozen=True, kw_only=True)
class Picture(Block):
    kind: ClassVar[str] = "picture"
    file: str
    """Path of a .png relative to the run folder."""


@dataclass(frozen=True, kw_only=True)
class Scatter(Block):
    """A map of items in two dimensions."""

    kind: ClassVar[str] = "scatter"
    points: list[tuple[float, float]]
    texts: list[str]
    """Tooltip of each point."""
    labels: dict[str, list[str]]
    """Names of colourings → a label for each point."""
    method: str
    """Method of the map: PCA, t-SNE."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of an example."""

    text: str
    role: str = ""
    """Label before the line: input, output, said, …"""
    right: bool | None = None
    """Drawn as a tick or a cross; None if unknown."""
    anew: bool = False
    """In a block that compares lines: do not compare with the previous line."""


@dataclass(frozen=True, kw_only=True)
class Examples(Block):
    """Cards of lines: reconstructions, interpolations, responses, instructions."""

    kind: ClassVar[str] = "examples"
    cards: list[list[Line]]
    compare: bool = False
    """Mark the words of each line that the previous line of the card lacks."""


@dataclass(frozen=True, kw_only=True)
class FloorPlans(Block):
    """Trajectories through houses, seen from above."""

    kind: ClassVar[str] = "floor-plans"
    walks: list[dict[str, Any]]
    """id, split, scan, instruction, positions (n, 3) in metres, edges, path, reference, goals (nodes within the scan),
    words, attention (steps, words), figures"""
