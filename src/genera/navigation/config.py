"""Options of navigation data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from genera.data.text.config import SMALLEST_VOCABULARY, vocabulary_complaints

Layout: TypeAlias = Literal["block", "tiled"]
Supervision: TypeAlias = Literal["planner", "player", "trusted"]
History: TypeAlias = Literal["none", "target", "oracle_ans", "nav_q_oracle_ans", "all"]


@dataclass(frozen=True, kw_only=True)
class NavigationConfig:
    """Graphs, episodes and visual features. Each field is a command-line option."""

    data: str = "world:houses"
    """r2r:DIR, ndh:DIR, hanna:DIR (episodes and connectivity), world:houses, world:houses-ndh or world:houses-hanna."""
    graphs: Path | None = None
    """Folder or archive of the connectivity files [in the folder of the episodes, beside it, or in r2r/ beside it]."""
    strict: bool = True
    """Reject malformed viewpoints; --no-strict skips them with a warning."""
    supervision: Supervision = "trusted"
    """NDH only: the reference path. planner, player and trusted are Oracle, Navigator and Mixed in published tables."""
    limit: int | None = None
    """Use only this many training episodes, the first ones."""
    features: Path | None = None
    """Feature file with the 36 views of each viewpoint, TSV or HDF5 [synthetic features from rooms and landmarks]."""
    allow_missing: bool = False
    """Use zeros for viewpoints missing from the feature file, with a warning."""
    view_size: int = 32
    """Feature size of a view; must match the feature file if there is one."""
    angle_size: int = 16
    """Size of the angle features appended to each view: a multiple of 4."""
    layout: Layout = "block"
    """Order of the angle features: block, as in the pre-trained encoder; tiled, as in EnvDrop."""
    max_tokens: int = 80
    """Maximum tokens of an instruction, including [CLS] and [SEP]; longer ones are truncated."""
    tokeniser: str | None = None
    """WordPiece tokeniser for instructions: a directory or a hub name [trained on the training instructions]."""
    vocabulary: int = 2000
    """Maximum vocabulary size of a tokeniser trained on the instructions."""
    cased: bool = False
    """Train that tokeniser on the instructions as they are written [in lower case, as BERT uncased]."""

    def check(self) -> list[str]:
        lowest = {"limit": 1, "view_size": 1, "max_tokens": 3, "vocabulary": SMALLEST_VOCABULARY}
        values = {name: getattr(self, name) for name in lowest}
        wrong = [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]
        wrong += vocabulary_complaints(self.vocabulary)
        if self.angle_size <= 0 or self.angle_size % 4:
            wrong.append(f"--angle-size must be a positive multiple of 4, got {self.angle_size}")
        if self.cased and self.tokeniser is not None:
            wrong.append("--cased is for a tokeniser trained on the instructions; drop it, or --tokeniser")
        return wrong
