"""Named runs of Optimus. `paper` is the published size; `nano` trains in CPU minutes by the same code."""

from dataclasses import replace
from typing import Any

from genera.blocks import size
from genera.data.text.config import DataConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.optimus.config import OptimusConfig

# From scratch at this size the tanh pooler and small latent maps keep the encoder on a plateau, hence mean and 0.1.
NANO = OptimusConfig(
    encoder=size.NANO_ENCODER, decoder=size.NANO_DECODER, feature="mean", latent_init=0.1, lr=1e-3, warmup=100
)
SMALL = replace(NANO, encoder=size.SMALL_ENCODER, decoder=size.SMALL_DECODER, lr=5e-4, warmup=200)
MINI_SIZE = {"layers": 2, "hidden": 96, "heads": 4, "positions": 128}
MINILM_NAME = "sentence-transformers/all-MiniLM-L6-v2"
MINILM = size.EncoderShape(layers=6, hidden=384, heads=12, feed_forward=1536, positions=512, dropout=0.1)
WORLDS = "world:captions + world:captions-small + world:houses + world:houses-hanna"
READ: dict[str, Any] = {
    **{"feature": "attention", "latent_size": 128, "memory_slots": 4, "latent_init": 0.05},
    **{"beta": 0.5, "beta_hold": 0.25, "free_bits": 0.3, "lr": 1e-3, "warmup": 100},
}
"""What suits ordinary English in minutes of a CPU: the words of a sentence survive (docs/real-text.md)."""
PAPER = OptimusConfig(pretrained_encoder="google-bert/bert-base-cased", pretrained_decoder="openai-community/gpt2")
PAPER_DATA = DataConfig(
    encoder_tokeniser="google-bert/bert-base-cased", decoder_tokeniser="openai-community/gpt2", max_words=100
)
PAPER_TRAIN = TrainConfig(epochs=1, batch_size=16)


def _finetune(corpus: str, max_words: int) -> Preset:
    """The published fine-tuning for language modelling: one epoch, one beta cycle; begins with --init RUN."""
    return Preset(
        summary=f"published fine-tuning on {corpus}: one epoch, one beta cycle; give --data and --init PRETRAINED_RUN",
        model=PAPER,
        train=PAPER_TRAIN,
        data=replace(PAPER_DATA, max_words=max_words, max_tokens=512),
    )


PRESETS = {
    "nano": Preset(
        summary="2+2 layers of 64, P = 32, from scratch; minutes on a laptop's CPU",
        model=NANO,
        train=TrainConfig(epochs=4, batch_size=64),
        data=DataConfig(max_words=40, max_tokens=100, bucket_noise=0.5),
    ),
    "minilm": Preset(
        summary="frozen MiniLM encoder, decoder of 4 layers of 256 from scratch, P = 128; ordinary English on a CPU",
        model=OptimusConfig(
            encoder=MINILM,
            pretrained_encoder=MINILM_NAME,
            freeze=("encoder",),
            decoder=size.SMALL_DECODER,
            **READ,
        ),
        train=TrainConfig(minutes=15, batch_size=32),
        data=DataConfig(encoder_tokeniser=MINILM_NAME, max_words=40, max_tokens=100, bucket_noise=0.5),
    ),
    "small-attention": Preset(
        summary="as small, h read by learned queries, P = 128, beta 0.5; ordinary English without pre-trained parts",
        model=replace(SMALL, **READ),
        train=TrainConfig(minutes=15, batch_size=32),
        data=DataConfig(max_words=40, max_tokens=100, bucket_noise=0.5),
    ),
    "mini": Preset(
        summary="2+2 layers of 96, P = 32, on all texts of the embedded worlds; shipped as optimus-mini",
        model=replace(
            NANO,
            encoder=size.from_scratch(size.EncoderShape, **MINI_SIZE),
            decoder=size.from_scratch(size.DecoderShape, **MINI_SIZE),
        ),
        train=TrainConfig(steps=5000, batch_size=64),
        data=DataConfig(data=WORLDS, max_words=40, max_tokens=100, bucket_noise=0.5),
    ),
    "small": Preset(
        summary="4+4 layers of 256, P = 32, from scratch; an hour on a CPU, minutes on a GPU",
        model=SMALL,
        train=TrainConfig(epochs=4, batch_size=64),
        data=DataConfig(max_words=100, max_tokens=200),
    ),
    "paper": Preset(
        summary="BERT-base cased + GPT-2 small, P = 32: the published fine-tuning for language modelling",
        model=PAPER,
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
    "paper-768": Preset(
        summary="as paper with P = 768: the published setting for latent arithmetic and interpolation",
        model=replace(PAPER, latent_size=768),
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
    "pretrain-wikipedia": Preset(
        summary="published pre-training: sentences of up to 64 words, one epoch, ten beta cycles, lambda = 1",
        model=replace(PAPER, beta_cycles=10, free_bits=1.0),
        train=TrainConfig(epochs=1, batch_size=128),
        data=replace(PAPER_DATA, max_words=64),
    ),
    "finetune-ptb": _finetune("Penn Treebank", 100),
    "finetune-snli": _finetune("SNLI captions", 100),
    "finetune-yahoo": _finetune("Yahoo answers", 512),
    "finetune-yelp": _finetune("Yelp reviews", 300),
    "finetune-short-yelp": _finetune("short Yelp sentences", 21),
}
