"""Named runs of the language models: sizes and recipes as published, and small ones for one CPU."""

from dataclasses import replace

from genera.blocks import size
from genera.blocks.size import DecoderShape
from genera.data.text.config import PackedDataConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.lm.config import Gpt2LmConfig, LmConfig

GPT2_TOKENISER = "openai-community/gpt2"
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M"
DOCUMENT = 10_000_000
"""Words and tokens of a packed document at most: whole books."""


def packed(tokeniser: str, context: int) -> PackedDataConfig:
    return PackedDataConfig(
        decoder_tokeniser=tokeniser,
        special_tokens="own",
        context=context,
        max_words=DOCUMENT,
        max_tokens=DOCUMENT,
    )


def gpt2(name: str, layers: int, hidden: int, heads: int, lr: float = 1.5e-4, warmup: int = 3000) -> Preset:
    """Radford et al. 2019, Table 2. Their rates are unpublished: the smallest has that of nanoGPT, which reproduces it,
    the larger ones have that of Megatron-LM, whose 355 M model is the same."""
    return Preset(
        summary=f"GPT-2 of {name} parameters from scratch, batches of 512 x 1,024 tokens",
        model=LmConfig(
            decoder=DecoderShape(layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden, positions=1024),
            lr=lr,
            warmup=warmup,
            schedule="cosine",
            decay_to=0.1,
            weight_decay=0.1,
            betas=(0.9, 0.95),
            position_init=0.01,
            checkpointing=layers > 12,
        ),
        train=TrainConfig(steps=600_000, batch_size=512, precision="bf16", clip=1.0),
        data=packed(GPT2_TOKENISER, 1024),
    )


def megatron(
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    tensor_parallel: int,
    paper: str = "Megatron-LM",
    warmup: int = 3000,
) -> Preset:
    """Shoeybi et al. 2019, and Turing-NLG, which follows it. The vocabulary divides the published tensor-parallel ranks
    into multiples of 128."""
    shape = DecoderShape(
        layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden, positions=1024, dropout=0.1
    )
    return Preset(
        summary=f"{paper} of {name} parameters from scratch, batches of 512 x 1,024 tokens",
        model=LmConfig(
            decoder=shape,
            lr=1.5e-4,
            warmup=warmup,
            schedule="cosine",
            decay_to=1 / 15,
            weight_decay=0.01,
            vocabulary_multiple=128 * tensor_parallel,
            checkpointing=True,
        ),
        train=TrainConfig(steps=300_000, batch_size=512, precision="bf16", clip=1.0),
        data=packed(GPT2_TOKENISER, 1024),
    )


LM = {
    "nano": Preset(
        summary="2 layers of 64, sentence by sentence, from scratch; minutes on a laptop's CPU",
        model=LmConfig(decoder=size.NANO_DECODER, lr=2e-3, warmup=100, weight_decay=0.1, schedule="cosine"),
        train=TrainConfig(epochs=4, batch_size=64),
        data=PackedDataConfig(max_words=64, max_tokens=100, bucket_noise=0.5, special_tokens="own"),
    ),
    "small": Preset(
        summary="4 layers of 256, sentence by sentence, from scratch; an hour on a CPU, minutes on a GPU",
        model=LmConfig(decoder=size.SMALL_DECODER, lr=1e-3, warmup=200, weight_decay=0.1, schedule="cosine"),
        train=TrainConfig(epochs=4, batch_size=64),
        data=PackedDataConfig(max_words=100, max_tokens=200, special_tokens="own"),
    ),
    "gpt2-124m": gpt2("124 M", 12, 768, 12, lr=6e-4, warmup=2000),
    "gpt2-355m": gpt2("355 M", 24, 1024, 16),
    "gpt2-774m": gpt2("774 M", 36, 1280, 20),
    "gpt2-1558m": gpt2("1.56 B", 48, 1600, 25),
    "megatron-1.2b": megatron("1.2 B", 40, 1536, 16, 1),
    "megatron-2.5b": megatron("2.5 B", 54, 1920, 20, 2),
    "megatron-4.2b": megatron("4.2 B", 64, 2304, 24, 4),
    "megatron-8.3b": megatron("8.3 B", 72, 3072, 32, 8),
    "turing-17b": megatron("17 B", 78, 4256, 28, 4, "Turing-NLG", 3200),
    "smollm2-135m": Preset(
        summary="SmolLM2 of 135 M parameters (Llama) fine-tuned on your text, batches of 32 x 1,024 tokens",
        model=LmConfig(
            decoder=DecoderShape(
                layout="llama",
                layers=30,
                hidden=576,
                heads=9,
                key_value_heads=3,
                feed_forward=1536,
                positions=8192,
                rotary_base=100_000.0,
                epsilon=1e-5,
                tied=True,
            ),
            pretrained_decoder=SMOLLM2,
            lr=1e-4,
            warmup=50,
            schedule="cosine",
            weight_decay=0.1,
            betas=(0.9, 0.95),
        ),
        train=TrainConfig(epochs=1, batch_size=32),
        data=packed(SMOLLM2, 1024),
    ),
}

_BASELINE = PackedDataConfig(max_words=100)
GPT2_LM = {
    "nano": Preset(
        summary="2 layers of 64, from scratch; minutes on a laptop's CPU",
        model=Gpt2LmConfig(decoder=size.NANO_DECODER, lr=1e-3, warmup=100),
        train=TrainConfig(epochs=4, batch_size=64),
        data=replace(_BASELINE, max_words=40, max_tokens=100, bucket_noise=0.5),
    ),
    "small": Preset(
        summary="4 layers of 256, from scratch; an hour on a CPU, minutes on a GPU",
        model=Gpt2LmConfig(decoder=size.SMALL_DECODER, lr=5e-4, warmup=200),
        train=TrainConfig(epochs=4, batch_size=64),
        data=replace(_BASELINE, max_tokens=200),
    ),
    "paper": Preset(
        summary="GPT-2 small fine-tuned for one epoch: the baseline of the published tables",
        model=Gpt2LmConfig(pretrained_decoder=GPT2_TOKENISER),
        train=TrainConfig(epochs=1, batch_size=16),
        data=replace(_BASELINE, decoder_tokeniser=GPT2_TOKENISER),
    ),
}
