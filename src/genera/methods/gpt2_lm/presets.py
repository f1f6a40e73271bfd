"""Named runs of the GPT-2 language model, of the same decoder sizes and data as Optimus' presets."""

from genera.blocks import size
from genera.data.text.config import DataConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.gpt2_lm.config import Gpt2LmConfig

PRESETS = {
    "nano": Preset(
        summary="2 layers of 64, from scratch; minutes on a laptop's CPU",
        model=Gpt2LmConfig(decoder=size.NANO_DECODER, lr=1e-3, warmup=100),
        train=TrainConfig(epochs=4, batch_size=64),
        data=DataConfig(max_words=40, max_tokens=100, bucket_noise=0.5),
    ),
    "small": Preset(
        summary="4 layers of 256, from scratch; an hour on a CPU, minutes on a GPU",
        model=Gpt2LmConfig(decoder=size.SMALL_DECODER, lr=5e-4, warmup=200),
        train=TrainConfig(epochs=4, batch_size=64),
        data=DataConfig(max_words=100, max_tokens=200),
    ),
    "paper": Preset(
        summary="GPT-2 small fine-tuned for one epoch: the baseline of the published tables",
        model=Gpt2LmConfig(pretrained_decoder="openai-community/gpt2"),
        train=TrainConfig(epochs=1, batch_size=16),
        data=DataConfig(decoder_tokeniser="openai-community/gpt2", max_words=100),
    ),
}
