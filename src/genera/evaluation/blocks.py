"""Typed parts of a report. Evaluators make them, run folders keep them as JSON, `report/` draws them. No torch."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

Cell = str | float | bool | tuple[float, float] | None
"""Of a table: a text, a number, a number and its spread (±), or a truth value, drawn as a tick or a cross."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """What every block has."""

    kind: ClassVar[str]
    section: str
    """Heading of the report under which it stands; blocks of one section stand together."""
    title: str = ""
    lead: str = ""
    """One sentence on how to read it."""

    def plain(self) -> dict[str, Any]:
        """JSON values, `kind` among them."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Remarks(Block):
    """Sentences, a paragraph each."""

    kind: ClassVar[str] = "remarks"
    sentences: list[str]


@dataclass(frozen=True, kw_only=True)
class Table(Block):
    kind: ClassVar[str] = "table"
    columns: list[str]
    rows: list[list[Cell]]
    units: list[str] = field(default_factory=list)
    """Of each column (`share` is drawn as a percentage); none where empty."""


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
    """Columns in the order given, such as the KL of each latent dimension."""

    kind: ClassVar[str] = "bars"
    values: list[float]
    labels: list[str]
    """What each column is, shown when it is pointed at."""
    y: str


@dataclass(frozen=True, kw_only=True)
class Shares(Block):
    """A bar for each name, and a mark to read it against: how often a value occurs in what the model makes and in the
    data, how often a factor is right and would be by chance."""

    kind: ClassVar[str] = "shares"
    values: dict[str, dict[str, float]]
    """Name → {bar: share, mark: share}."""
    bar: str = "generated"
    mark: str = "data"


@dataclass(frozen=True, kw_only=True)
class Picture(Block):
    kind: ClassVar[str] = "picture"
    file: str
    """Relative to the run folder, a .png."""


@dataclass(frozen=True, kw_only=True)
class Scatter(Block):
    """A map of items in two dimensions."""

    kind: ClassVar[str] = "scatter"
    points: list[tuple[float, float]]
    texts: list[str]
    """What is shown when a point is pointed at."""
    labels: dict[str, list[str]]
    """Names of colourings → a label for each point."""
    method: str
    """How the map was made: PCA, t-SNE."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of an example."""

    text: str
    role: str = ""
    """Stands before it: input, output, said, …"""
    right: bool | None = None
    """Drawn as a tick or a cross; None where nobody knows."""
    anew: bool = False
    """Of a block that compares lines: not compared with the line before."""


@dataclass(frozen=True, kw_only=True)
class Examples(Block):
    """Cards of lines: reconstructions, interpolations, responses, instructions."""

    kind: ClassVar[str] = "examples"
    cards: list[list[Line]]
    compare: bool = False
    """Mark the words of each line that the line before it in the card has not got."""


@dataclass(frozen=True, kw_only=True)
class FloorPlans(Block):
    """Walks through houses, seen from above."""

    kind: ClassVar[str] = "floor-plans"
    walks: list[dict[str, Any]]
    """id, split, scan, instruction, positions (n, 3) in metres, edges, path, reference, goals (nodes within the scan),
    words, attention (steps, words), figures"""
