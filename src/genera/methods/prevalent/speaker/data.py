"""What the speaker learns from: instructed paths as views on the way and words."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genera.data.batch import Batch
from genera.data.streams import Draw, Shuffled
from genera.data.vocabularies.words import EOS, PAD, WordVocabulary, split_words
from genera.navigation.dataset import InstructedPaths, NavigationAssets, NavigationData
from genera.navigation.graphs import Graphs
from genera.navigation.simulator import views_along
from genera.navigation.town import Town

_LONGEST_PATH = 7  # nodes, of R2R


@dataclass(frozen=True)
class SpeakerExamples:
    """The P instructed paths of a split."""

    town: Town
    vocabulary: WordVocabulary
    nodes: Tensor
    """(P, T), -1 after the last"""
    views: Tensor
    """(P, T) the agent's view at each node, 0 .. 35"""
    words: Tensor
    """(P, L) word ids, EOS and then PAD"""
    references: list[list[str]]
    """for each row all instructions of its path, tokenised and joined by spaces"""

    @classmethod
    def of(cls, paths: InstructedPaths, graphs: Graphs, town: Town, vocabulary: WordVocabulary, max_words: int) -> Self:
        """Raises GeneraError for an empty instruction."""
        by_path: dict[bytes, list[str]] = {}
        references = []
        for nodes, heading, text in zip(paths.nodes, paths.headings, paths.texts, strict=True):
            of_path = by_path.setdefault(nodes.tobytes() + heading.tobytes(), [])
            of_path.append(" ".join(split_words(text)))
            references.append(of_path)
        return cls(
            town,
            vocabulary,
            torch.from_numpy(paths.nodes),
            torch.from_numpy(views_along(graphs, paths.nodes, paths.headings)),
            torch.from_numpy(vocabulary.encode_batch(paths.texts, max_words)),
            references,
        )

    def batch(self, rows: NDArray[np.int64]) -> "SpeakerBatch":
        words = self.words[rows]
        width = int((words != PAD).sum(1).max())
        return SpeakerBatch(torch.from_numpy(rows), self.nodes[rows], self.views[rows], words[:, :width], self)


@dataclass
class SpeakerBatch(Batch):
    """Some rows of `SpeakerExamples`."""

    nodes: Tensor
    views: Tensor
    words: Tensor
    examples: SpeakerExamples


class SpeakerData:
    """The annotated paths of every split."""

    def __init__(self, data: NavigationData, max_words: int) -> None:
        """max_words: words of an instruction, its end included; the rest is cut off."""
        self._data, self._max_words = data, max_words
        self._examples: dict[str, SpeakerExamples] = {}

    def size(self, split: str) -> int:
        return self._data.size(split)

    def examples(self, split: str) -> SpeakerExamples:
        if split not in self._examples:
            data, paths = self._data, self._data.paths(split)
            self._examples[split] = SpeakerExamples.of(
                paths, data.graphs, data.town, data.assets.words, self._max_words
            )
        return self._examples[split]

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> Shuffled:
        examples = self.examples(split)

        def collate(draw: Draw) -> SpeakerBatch:
            return examples.batch(draw.mine)

        return Shuffled(
            len(examples.nodes),
            batch=batch_size,
            seed=seed,
            rank=rank,
            ranks=ranks,
            collate=collate,
            kind="instructions",
        )


def sketch(assets: NavigationAssets, max_words: int, rows: int) -> SpeakerBatch:
    """SpeakerExamples of the largest size that R2R's rule allows, for `--dry-run`."""
    town = Town.sketch(assets.view_size, assets.angle_size, assets.slots)
    nodes, words = torch.zeros(rows, _LONGEST_PATH, dtype=torch.int64), torch.full((rows, max_words), EOS)
    examples = SpeakerExamples(town, assets.words, nodes, nodes, words, [])
    return SpeakerBatch(torch.arange(rows), nodes, nodes, words, examples)
