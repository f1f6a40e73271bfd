"""Where the navigation data of a run comes from and how it is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from genera.data.text.config import SMALLEST_VOCABULARY

Layout: TypeAlias = Literal["block", "tiled"]
Supervision: TypeAlias = Literal["planner", "player", "trusted"]
History: TypeAlias = Literal["none", "target", "oracle_ans", "nav_q_oracle_ans", "all"]


@dataclass(frozen=True, kw_only=True)
class NavigationConfig:
    """Graphs, episodes and what the agent sees. Each field is a command-line option."""

    data: str = "world:houses"
    """r2r:DIR, ndh:DIR, hanna:DIR (episodes and connectivity), world:houses, world:houses-ndh or world:houses-hanna."""
    graphs: Path | None = None
    """Folder or archive of the connectivity files [with the episodes, beside them, or in r2r/ beside them]."""
    strict: bool = True
    """Refuse malformed viewpoints; --no-strict leaves them out, with a warning."""
    supervision: Supervision = "trusted"
    """NDH only: whose path is the reference (the tables' Oracle, Navigator, Mixed)."""
    limit: int | None = None
    """Use only the first so many training episodes."""
    features: Path | None = None
    """Published feature file of the 36 views of each viewpoint, TSV or HDF5 [made up from rooms and landmarks]."""
    allow_missing: bool = False
    """Let viewpoints that the feature file lacks read as zeros, with a warning."""
    view_size: int = 32
    """Features of a view where they are made up; a feature file must have so many."""
    angle_size: int = 16
    """Numbers that tell where a view is, beside its features: a multiple of 4."""
    layout: Layout = "block"
    """How the angle numbers lie: block, as the encoder was pre-trained; tiled, as EnvDrop has them."""
    max_tokens: int = 80
    """Tokens of an instruction that are read, [CLS] and [SEP] included; the rest is cut off."""
    tokeniser: str | None = None
    """WordPiece tokeniser of the instructions: a directory or a hub name [trained on the training instructions]."""
    vocabulary: int = 2000
    """Most tokens that a tokeniser trained on the instructions may have."""

    def check(self) -> list[str]:
        lowest = {"limit": 1, "view_size": 1, "max_tokens": 3, "vocabulary": SMALLEST_VOCABULARY}
        values = {name: getattr(self, name) for name in lowest}
        wrong = [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]
        if self.angle_size <= 0 or self.angle_size % 4:
            wrong.append(f"--angle-size must be a positive multiple of 4, got {self.angle_size}")
        return wrong
