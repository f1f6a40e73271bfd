"""Training of the speaker (Fried et al. 2018; Tan et al. 2019): teacher forcing, validated by BLEU."""

from pathlib import Path

import torch
from torch.nn import functional as F

from genera.blocks.optimisers import build_optimiser
from genera.console import say
from genera.data.vocabularies.words import PAD, WordVocabulary
from genera.engine.method import Stage
from genera.engine.optimisers import can_fuse
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.measures.text import multi_reference_bleu
from genera.measures.word_vectors import WordVectors
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.data import SpeakerBatch, SpeakerData, sketch
from genera.methods.prevalent.speaker.inference import describe, word_logits
from genera.methods.prevalent.speaker.network import Speaker
from genera.navigation.dataset import NavigationAssets


def build_speaker(config: SpeakerConfig, assets: NavigationAssets) -> Speaker:
    speaker = Speaker(config, assets.feature_size, assets.angle_size, assets.words.size)
    if config.word_vectors is not None:
        speaker.decoder.embedding.requires_grad_(False)
    return speaker


@torch.no_grad()
def load_word_vectors(speaker: Speaker, path: Path, vocabulary: WordVocabulary) -> None:
    """Fill the word embeddings from a file in GloVe's text format. Words that the file lacks get zeros.

    Raises GeneraError for a file in another format, or whose vectors are not as wide as the embeddings.
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


def speaker_stage(speaker: Speaker, config: SpeakerConfig, assets: NavigationAssets, share: float = 1.0) -> Stage:
    """Teacher forcing on the annotated instructions. Keeps the weights with the best validation BLEU, as published."""

    def players() -> dict[str, Player]:
        parameters = [parameter for parameter in speaker.parameters() if parameter.requires_grad]
        rates = {"lr": config.lr, "weight_decay": config.weight_decay}
        optimiser = build_optimiser(config.optimiser, parameters, **rates, fused=can_fuse(speaker))
        return {"speaker": Player(speaker, optimiser, lambda step, progress: 1.0)}

    def loss(batch: SpeakerBatch, step: Step) -> Terms:
        return teacher_forcing(speaker, batch)

    def validate(batch: SpeakerBatch, step: Step) -> Terms:
        """`loss`, which selects the best weights, is 1 - BLEU / 100."""
        terms, score = teacher_forcing(speaker, batch), bleu(speaker, batch)
        return {**terms, "nats": terms["loss"], "loss": torch.tensor(1 - score / 100), "bleu": torch.tensor(score)}

    return Stage(
        "speaker",
        players,
        lambda batch, step: step.minimise("speaker", loss, batch),
        share=share,
        data=lambda data, artefacts: SpeakerData(data, config.max_words),
        batch_size=config.batch_size,
        validate=validate,
        best=True,
        sketch=lambda rows: sketch(assets, config.max_words, rows),
    )


def teacher_forcing(speaker: Speaker, batch: SpeakerBatch) -> Terms:
    """The mean negative log-likelihood of an instruction in nats, and the accuracy of words and of whole instructions.

    The published loss is the mean over all words of the batch: the same gradient up to a factor, the mean length.
    """
    examples, words = batch.examples, batch.words
    logits = word_logits(speaker, examples.town, batch.nodes, batch.views, words, examples.vocabulary.bos)
    present = words != PAD
    lengths = present.sum(1)
    negative = F.cross_entropy(logits.mT, words, ignore_index=PAD, reduction="none").sum(1)
    correct = ((logits.argmax(-1) == words) & present).sum(1)
    return {
        "loss": negative.mean(),
        "nats_per_word": (negative / lengths).mean(),
        "word_accuracy": (correct / lengths).mean(),
        "sentence_accuracy": (correct == lengths).float().mean(),
    }


def bleu(speaker: Speaker, batch: SpeakerBatch) -> float:
    """Corpus BLEU-4, 0..100, of greedy instructions against all annotated instructions of each path."""
    examples = batch.examples
    written = describe(speaker, examples.vocabulary, examples.town, batch.nodes, batch.views)
    return multi_reference_bleu(written, [examples.references[row] for row in batch.ids.tolist()])
