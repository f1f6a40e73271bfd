"""A trained speaker at work: what it observes along a path, the instructions that it writes, and how likely it finds
given ones.

Shapes: B paths of T nodes, L words, F features of a view with its angle.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from genera.blocks.decoding import write
from genera.blocks.decoding_options import Decoding
from genera.data.vocabularies.words import EOS, PAD, UNK, WordVocabulary
from genera.methods.prevalent.speaker.network import EncodedPath, Speaker, SpeakerWriter
from genera.navigation.dataset import NavigationData
from genera.navigation.simulator import views_along
from genera.navigation.town import Town

GREEDY = Decoding(max_tokens=120)
"""As published."""
INFERENCE_BATCH = 256
"""Paths that are described at once."""


def observe_paths(
    town: Town, nodes: Tensor, views: Tensor, factors: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """What an agent observes along paths (B, T; -1 after the last) with views (B, T): features of its actions
    (B, T, F), panoramas (B, T, 36, F) and the mask (B, T) of the paths. factors: see `Town.observe`."""
    town = town.to(nodes.device)
    mask = nodes >= 0
    here = nodes.clamp(min=0)
    there = F.pad(nodes[:, 1:], (0, 1), value=-1)
    slot = town.slot_to(here, views, torch.where(there >= 0, there, here))
    sight = town.observe(here, views, factors)
    index = slot[..., None, None].expand(*slot.shape, 1, sight.candidates.shape[-1])
    return sight.candidates.gather(-2, index)[..., 0, :], sight.panorama, mask


def environmental_dropout(probability: float, uniform: Tensor) -> Tensor:
    """Environmental dropout (Tan et al. 2019): one factor (F,) for each feature, in all views of all viewpoints alike.
    It is 0 with the given probability, else 1 / (1 - probability). uniform: (F,) in [0, 1)."""
    return (uniform >= probability).float() / (1 - probability)


def word_logits(speaker: Speaker, town: Town, nodes: Tensor, views: Tensor, words: Tensor, bos: int) -> Tensor:
    """Logits (B, L, V) of words (B, L), each given those before it, for paths (B, T) with views (B, T)."""
    start = words.new_full((len(words), 1), bos)
    return speaker(*observe_paths(town, nodes, views), torch.cat([start, words[:, :-1]], 1))


@torch.inference_mode()
def describe(
    speaker: Speaker,
    vocabulary: WordVocabulary,
    town: Town,
    nodes: Tensor,
    views: Tensor,
    *,
    decoding: Decoding = GREEDY,
    factors: Tensor | None = None,
    generator: Generator | None = None,
) -> list[str]:
    """An instruction, never an empty one, for each path (B, T; -1 after the last) with views (B, T).

    Expects the speaker in eval mode. generator: on its device; for a decoding that samples.
    """
    encoded = speaker.read(*observe_paths(town, nodes, views, factors))
    begin = nodes.new_full((len(nodes), 1), vocabulary.bos)
    writer = InstructionWriter(speaker, encoded)
    ids = write(
        writer, start=begin, decoding=decoding, end=EOS, pad=PAD, forbid=(PAD, UNK, vocabulary.bos), generator=generator
    )
    return vocabulary.decode_batch(ids.cpu().numpy())


def describe_paths(
    speaker: Speaker,
    data: NavigationData,
    nodes: NDArray[np.int64],
    headings: NDArray[np.float64],
    decoding: Decoding = GREEDY,
    generator: Generator | None = None,
) -> list[str]:
    """As `describe`, for any number of paths that start with the headings (B,), in radians."""
    device = next(speaker.parameters()).device
    views = views_along(data.graphs, nodes, headings)
    texts: list[str] = []
    rows = max(1, INFERENCE_BATCH // decoding.beams)
    for first in range(0, len(nodes), rows):
        part = [torch.from_numpy(array[first : first + rows]).to(device) for array in (nodes, views)]
        texts += describe(speaker, data.assets.words, data.town, *part, decoding=decoding, generator=generator)
    return texts


@torch.inference_mode()
def log_likelihood(
    speaker: Speaker,
    data: NavigationData,
    nodes: NDArray[np.int64],
    headings: NDArray[np.float64],
    texts: Sequence[str],
    max_words: int,
) -> NDArray[np.float64]:
    """(B,) log p(instruction | path) in nats, of paths (B, T; -1 after the last) that start with the headings (B,).

    max_words: words of an instruction that count. Raises GeneraError for an empty instruction.
    """
    device, vocabulary = next(speaker.parameters()).device, data.assets.words
    arrays = (nodes, views_along(data.graphs, nodes, headings), vocabulary.encode_batch(texts, max_words))
    parts = []
    for first in range(0, len(nodes), INFERENCE_BATCH):
        path, views, words = (torch.from_numpy(array[first : first + INFERENCE_BATCH]).to(device) for array in arrays)
        logits = word_logits(speaker, data.town, path, views, words, vocabulary.bos)
        losses = F.cross_entropy(logits.mT, words, ignore_index=PAD, reduction="none")
        parts.append(-losses.double().sum(1).cpu().numpy())
    return np.concatenate(parts)


class InstructionWriter(SpeakerWriter):
    """A `SpeakerWriter` whose first word is not EOS."""

    def __init__(self, speaker: Speaker, encoded: EncodedPath) -> None:
        super().__init__(speaker.decoder, encoded)
        self.begun = False

    def read(self, tokens: Tensor) -> Tensor:
        logits = super().read(tokens)
        if not self.begun:
            logits[:, EOS] = -torch.inf
        self.begun = True
        return logits
