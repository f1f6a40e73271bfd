"""Settings of the speaker and of the synthesis. The defaults are the published ones. No torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genera.blocks.optimisers import choice_complaints
from genera.engine.config import MethodConfig


@dataclass(frozen=True, kw_only=True)
class SpeakerConfig(MethodConfig):
    """The speaker, which writes an instruction for a path."""

    variant: Literal["envdrop", "follower"] = "envdrop"
    """Encoder of the path. envdrop: bidirectional (Tan et al. 2019). follower: one direction (Fried et al. 2018)."""
    hidden: int = 512
    """Width of the states; even."""
    embedding: int = 256
    """Width of the word embeddings (the follower variant was published with 300)."""
    word_vectors: Path | None = None
    """Frozen word embeddings: a file in GloVe's text format, plain or .gz (published for follower: GloVe, 300 numbers a
    word) [trained embeddings]."""
    dropout: float = 0.6
    """Dropout of states and embeddings (published for follower: 0.5)."""
    feature_dropout: float = 0.3
    """Dropout of image features; angle features are kept (published for follower: 0)."""
    optimiser: str = "adam"
    """Optimiser, with its default options: adam, adamw, sgd, rmsprop, …"""
    lr: float = 1e-4
    """Learning rate, constant."""
    weight_decay: float = 0.0
    """Weight decay, an L2 penalty (follower: 5e-4)."""
    batch_size: int = 64
    """Instructions a step, over all ranks (follower: 100)."""
    max_words: int = 80
    """Words of a training instruction, its end included; the rest is cut off."""

    def check(self) -> list[str]:
        rules = [
            (self.hidden >= 2 and self.hidden % 2 == 0, f"--speaker.hidden must be even, got {self.hidden}"),
            (self.embedding >= 1, f"--speaker.embedding must be at least 1, got {self.embedding}"),
            (0 <= self.dropout < 1, f"--speaker.dropout must lie in [0, 1), got {self.dropout}"),
            (
                0 <= self.feature_dropout < 1,
                f"--speaker.feature-dropout must lie in [0, 1), got {self.feature_dropout}",
            ),
            (self.lr > 0, f"--speaker.lr must be above 0, got {self.lr}"),
            (self.weight_decay >= 0, f"--speaker.weight-decay must be 0 or above, got {self.weight_decay}"),
            (self.batch_size >= 1, f"--speaker.batch-size must be at least 1, got {self.batch_size}"),
            (self.max_words >= 2, f"--speaker.max-words must be at least 2, got {self.max_words}"),
        ]
        complaints = [complaint for holds, complaint in rules if not holds]
        return complaints + choice_complaints(self.optimiser, "--speaker.optimiser")


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(MethodConfig):
    """Synthesis of instructions: the speaker describes every path that satisfies R2R's rules."""

    split: Literal["train", "val_seen", "val_unseen", "test"] = "train"
    """Split whose scans the paths come from. val_unseen is pre-exploration (Tan et al. 2019): it uses the graphs and
    views of the evaluation houses, but not their instructions."""
    samples: int = 6
    """Instructions for each path."""
    share: float = 1.0
    """Share of the paths, a random subset, 0 .. 1."""
    environment_dropout: float = 0.4
    """Environmental dropout: probability to drop a feature from all views that the speaker sees. Each sample has its
    own mask. 0: none."""
    temperature: float = 0.0
    """0: greedy decoding. 1: samples from the speaker."""
    max_words: int = 120
    """Words of an instruction at most."""
    exclude: bool = False
    """Leave out paths that have the same start and goal as an annotated path of the training or validation splits."""
    shard_size: int = 1000
    """Paths of a shard. A killed run repeats at most one shard per rank."""
    batch_size: int = 256
    """Paths that are described in one batch."""
    seed: int = 0
    """Seed of the start headings, the environmental dropout, and sampled words."""

    def check(self) -> list[str]:
        rules = [
            (self.samples >= 1, f"--synthesis.samples must be at least 1, got {self.samples}"),
            (
                self.samples == 1 or self.temperature > 0 or self.environment_dropout > 0,
                f"--synthesis.samples {self.samples} would be {self.samples} times the same instruction; give a "
                "--synthesis.temperature or a --synthesis.environment-dropout above 0",
            ),
            (0 < self.share <= 1, f"--synthesis.share is a share above 0, at most 1, got {self.share}"),
            (
                0 <= self.environment_dropout < 1,
                f"--synthesis.environment-dropout must lie in [0, 1), got {self.environment_dropout}",
            ),
            (self.temperature >= 0, f"--synthesis.temperature must be 0 or above, got {self.temperature}"),
            (self.max_words >= 1, f"--synthesis.max-words must be at least 1, got {self.max_words}"),
            (self.shard_size >= 1, f"--synthesis.shard-size must be at least 1, got {self.shard_size}"),
            (self.batch_size >= 1, f"--synthesis.batch-size must be at least 1, got {self.batch_size}"),
            (self.seed >= 0, f"--synthesis.seed must be 0 or above, got {self.seed}"),
        ]
        return [complaint for holds, complaint in rules if not holds]
