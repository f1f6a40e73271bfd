"""The speaker at work: what it sees on a path, what it learns from, and how it writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F
from torch.optim import Adam

from genera.blocks.decoding import write
from genera.blocks.decoding_options import Decoding
from genera.console import say
from genera.data.batch import Batch
from genera.data.vocabularies.words import EOS, PAD, UNK, WordVocabulary, split_words
from genera.engine.method import Stage
from genera.engine.optimisers import can_fuse
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.measures.text import multi_reference_bleu
from genera.measures.word_vectors import WordVectors
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.network import Account, Speaker, SpeakerWriter
from genera.navigation.dataset import InstructedPaths, NavigationAssets, NavigationData, RowStream
from genera.navigation.graphs import Graphs
from genera.navigation.simulator import views_along
from genera.navigation.town import Town

GREEDY = Decoding(max_tokens=120)
"""As published."""
PATHS_AT_ONCE = 256
_SKETCHED_STEPS = 7  # of the longest paths of R2R


def build_speaker(config: SpeakerConfig, assets: NavigationAssets) -> Speaker:
    speaker = Speaker(config, assets.feature_size, assets.angle_size, assets.words.size)
    if config.word_vectors is not None:
        speaker.decoder.embedding.requires_grad_(False)
    return speaker


@torch.no_grad()
def give_word_vectors(speaker: Speaker, path: Path, vocabulary: WordVocabulary) -> None:
    """Embeddings from a file in GloVe's text format; a word that it lacks has zeros, and is as good as unknown.

    Raises GeneraError for a file that is none, or whose vectors are not as wide as the embeddings.
    """
    table = torch.from_numpy(WordVectors.read(path, vocabulary.words).table(vocabulary.words))
    weight = speaker.decoder.embedding.weight
    if table.shape != weight.shape:
        raise GeneraError(
            f"{path} has {table.shape[1]} numbers a word; give --speaker.embedding {table.shape[1]}, not "
            f"{weight.shape[1]}."
        )
    say(f"{int(table.any(dim=1).sum()):,} of {len(table):,} words have a vector in {path.name}")
    weight.copy_(table)


# -- learning ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Walks:
    """The P instructed paths of a split, as the speaker reads them."""

    town: Town
    vocabulary: WordVocabulary
    nodes: Tensor
    """(P, T), -1 after the last"""
    views: Tensor
    """(P, T)"""
    words: Tensor
    """(P, L) ids, each row to its EOS and then PAD"""
    references: list[list[str]]
    """for each row, all instructions of its path, as words"""

    @classmethod
    def of(cls, paths: InstructedPaths, graphs: Graphs, town: Town, vocabulary: WordVocabulary, longest: int) -> Self:
        """Raises GeneraError for an empty instruction."""
        shared: dict[bytes, list[str]] = {}
        references = []
        for nodes, heading, text in zip(paths.nodes, paths.headings, paths.texts, strict=True):
            mine = shared.setdefault(nodes.tobytes() + heading.tobytes(), [])
            mine.append(" ".join(split_words(text)))
            references.append(mine)
        return cls(
            town,
            vocabulary,
            torch.from_numpy(paths.nodes),
            torch.from_numpy(views_along(graphs, paths.nodes, paths.headings)),
            torch.from_numpy(vocabulary.encode_batch(paths.texts, longest)),
            references,
        )

    def batch(self, rows: NDArray[np.int64]) -> "WalkBatch":
        words = self.words[rows]
        width = int((words != PAD).sum(1).max())
        return WalkBatch(torch.from_numpy(rows), self.nodes[rows], self.views[rows], words[:, :width], self)


@dataclass
class WalkBatch(Batch):
    """Rows of `Walks`."""

    nodes: Tensor
    views: Tensor
    words: Tensor
    walks: Walks


class WalkStream:
    """Shuffled rows of `Walks`; see `genera.data.batch.Stream`."""

    def __init__(self, walks: Walks, batch: int, *, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self._walks = walks
        self._rows = RowStream(len(walks.nodes), "instructions", batch, seed=seed, rank=rank, ranks=ranks)
        self.steps_per_epoch = self._rows.steps_per_epoch

    def batch(self, step: int) -> WalkBatch:
        return self._walks.batch(self._rows.rows(step))


class SpeakerData:
    """The annotated paths of each split, for the speaker's stage."""

    def __init__(self, data: NavigationData, longest: int) -> None:
        """longest: words of an instruction that are learnt from."""
        self._data, self._longest = data, longest
        self._walks: dict[str, Walks] = {}

    def size(self, split: str) -> int:
        return self._data.size(split)

    def walks(self, split: str) -> Walks:
        if split not in self._walks:
            data = self._data
            paths = data.paths(split)
            self._walks[split] = Walks.of(paths, data.graphs, data.town, data.assets.words, self._longest)
        return self._walks[split]

    def stream(self, split: str, batch_size: int, *, seed: int, rank: int = 0, ranks: int = 1) -> WalkStream:
        return WalkStream(self.walks(split), batch_size, seed=seed, rank=rank, ranks=ranks)


def speaker_stage(speaker: Speaker, config: SpeakerConfig, assets: NavigationAssets, share: float = 1.0) -> Stage:
    """Teacher forcing on the annotated instructions; the weights with the best BLEU stay, as published."""

    def players() -> dict[str, Player]:
        learnt = [parameter for parameter in speaker.parameters() if parameter.requires_grad]
        optimiser = Adam(learnt, lr=config.lr, weight_decay=config.weight_decay, fused=can_fuse(speaker))
        return {"speaker": Player(speaker, optimiser, lambda step, progress: 1.0)}

    def loss(batch: WalkBatch, step: Step) -> Terms:
        return teacher_forcing(speaker, batch)

    def validate(batch: WalkBatch, step: Step) -> Terms:
        """`loss`, by which the best weights are chosen, is 1 - BLEU / 100."""
        terms, found = teacher_forcing(speaker, batch), bleu(speaker, batch)
        return {**terms, "nats": terms["loss"], "loss": torch.tensor(1 - found / 100), "bleu": torch.tensor(found)}

    return Stage(
        "speaker",
        players,
        lambda batch, step: step.minimise("speaker", loss, batch),
        share=share,
        data=lambda data, artefacts: SpeakerData(data, config.max_words),
        batch_size=config.batch_size,
        validate=validate,
        best=True,
        sketch=lambda rows: sketch_walks(assets, config.max_words, rows),
    )


def teacher_forcing(speaker: Speaker, batch: WalkBatch) -> Terms:
    """The mean negative log-likelihood of an instruction, in nats, and how many words and whole instructions are right.

    The published loss is the mean over all words of the batch: the same gradient, up to the number of words.
    """
    walks, words = batch.walks, batch.words
    logits = predict(speaker, walks.town, batch.nodes, batch.views, words, walks.vocabulary.bos)
    known = words != PAD
    lengths = known.sum(1)
    negative = F.cross_entropy(logits.mT, words, ignore_index=PAD, reduction="none").sum(1)
    right = ((logits.argmax(-1) == words) & known).sum(1)
    return {
        "loss": negative.mean(),
        "nats_per_word": (negative / lengths).mean(),
        "word_accuracy": (right / lengths).mean(),
        "sentence_accuracy": (right == lengths).float().mean(),
    }


def predict(speaker: Speaker, town: Town, nodes: Tensor, views: Tensor, words: Tensor, bos: int) -> Tensor:
    """Logits (B, L, V) of words (B, L), each from those before it, for the paths (B, T) walked with these views."""
    begin = words.new_full((len(words), 1), bos)
    return speaker(*seen(town, nodes, views), torch.cat([begin, words[:, :-1]], 1))


def bleu(speaker: Speaker, batch: WalkBatch) -> float:
    """Corpus BLEU-4 of greedy instructions for the batch's paths against all that are known of each path."""
    walks = batch.walks
    written = describe(speaker, walks.vocabulary, walks.town, batch.nodes, batch.views)
    return multi_reference_bleu(written, [walks.references[row] for row in batch.ids.tolist()])


# -- seeing and writing -----------------------------------------------------------------------------------------------


def seen(town: Town, nodes: Tensor, views: Tensor, factors: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """What a walker sees on paths (B, T; -1 after the last) with these views (B, T): the actions (B, T, F), the
    panoramas (B, T, 36, F), and the mask (B, T) of the paths. factors: as `Town.observe` takes them."""
    town = town.to(nodes.device)
    mask = nodes >= 0
    here = nodes.clamp(min=0)
    there = F.pad(nodes[:, 1:], (0, 1), value=-1)
    slot = town.slot_to(here, views, torch.where(there >= 0, there, here))
    sight = town.observe(here, views, factors)
    index = slot[..., None, None].expand(*slot.shape, 1, sight.candidates.shape[-1])
    return sight.candidates.gather(-2, index)[..., 0, :], sight.panorama, mask


def environment(share: float, uniform: Tensor) -> Tensor:
    """Environmental dropout (Tan et al. 2019): one factor (F,) for each feature, in all views of all places; 0 with
    probability `share`, else what keeps the mean. uniform: (F,) numbers in [0, 1)."""
    return (uniform >= share).float() / (1 - share)


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
    """An instruction for each path (B, T; -1 after the last) that is walked with these views, never an empty one.

    The speaker is in eval mode. generator: on its device; for a decoding that samples.
    """
    account = speaker.read(*seen(town, nodes, views, factors))
    begin = nodes.new_full((len(nodes), 1), vocabulary.bos)
    never = (PAD, UNK, vocabulary.bos)
    writer = InstructionWriter(speaker, account)
    ids = write(writer, start=begin, decoding=decoding, end=EOS, pad=PAD, forbid=never, generator=generator)
    return vocabulary.decode_batch(ids.cpu().numpy())


def describe_paths(
    speaker: Speaker,
    data: NavigationData,
    nodes: NDArray[np.int64],
    headings: NDArray[np.float64],
    decoding: Decoding = GREEDY,
    generator: Generator | None = None,
) -> list[str]:
    """As `describe`, for any number of paths that begin with these headings (B,), in radians."""
    device = next(speaker.parameters()).device
    views = views_along(data.graphs, nodes, headings)
    texts: list[str] = []
    for first in range(0, len(nodes), PATHS_AT_ONCE):
        part = [torch.from_numpy(array[first : first + PATHS_AT_ONCE]).to(device) for array in (nodes, views)]
        texts += describe(speaker, data.assets.words, data.town, *part, decoding=decoding, generator=generator)
    return texts


@torch.inference_mode()
def log_likelihood(
    speaker: Speaker,
    data: NavigationData,
    nodes: NDArray[np.int64],
    headings: NDArray[np.float64],
    texts: Sequence[str],
    longest: int,
) -> NDArray[np.float64]:
    """(B,) log-probabilities of instructions for paths (B, T; -1 after the last) that begin with these headings (B,).

    longest: words of an instruction that count. Raises GeneraError for an empty instruction.
    """
    device, vocabulary = next(speaker.parameters()).device, data.assets.words
    arrays = (nodes, views_along(data.graphs, nodes, headings), vocabulary.encode_batch(texts, longest))
    found = []
    for first in range(0, len(nodes), PATHS_AT_ONCE):
        way, views, words = (torch.from_numpy(array[first : first + PATHS_AT_ONCE]).to(device) for array in arrays)
        logits = predict(speaker, data.town, way, views, words, vocabulary.bos)
        losses = F.cross_entropy(logits.mT, words, ignore_index=PAD, reduction="none")
        found.append(-losses.double().sum(1).cpu().numpy())
    return np.concatenate(found)


class InstructionWriter(SpeakerWriter):
    """Its first word is not the end."""

    def __init__(self, speaker: Speaker, account: Account) -> None:
        super().__init__(speaker.decoder, account)
        self.begun = False

    def read(self, tokens: Tensor) -> Tensor:
        logits = super().read(tokens)
        if not self.begun:
            logits[:, EOS] = -torch.inf
        self.begun = True
        return logits


# -- shapes alone -----------------------------------------------------------------------------------------------------


def sketch_walks(assets: NavigationAssets, longest: int, rows: int) -> WalkBatch:
    """Walks of the largest size that R2R's rule allows, for `--dry-run`."""
    town = Town.sketch(assets.view_size, assets.angle_size, assets.slots)
    nodes, words = torch.zeros(rows, _SKETCHED_STEPS, dtype=torch.int64), torch.full((rows, longest), EOS)
    walks = Walks(town, assets.words, nodes, nodes, words, [])
    return WalkBatch(torch.arange(rows), nodes, nodes, words, walks)
