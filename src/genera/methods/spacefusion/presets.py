"""Named runs of SpaceFusion. `paper` is the published size; `nano` trains in CPU minutes by the same code."""

from dataclasses import replace

from genera.blocks import size
from genera.data.dialogues.config import DialogueConfig
from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.spacefusion.config import SpaceFusionConfig

# From scratch at this size the tanh pooler and small latent maps keep the encoder on a plateau, hence mean and 0.1.
NANO = SpaceFusionConfig(
    encoder=size.NANO_ENCODER,
    decoder=size.NANO_DECODER,
    feature="mean",
    latent_init=0.1,
    lr=1e-3,
    warmup=100,
    freeze_shared=False,
)
NANO_DATA = DialogueConfig(max_words=40, max_tokens=64, max_context_tokens=128, vocabulary=2000, bucket_noise=0.5)
NANO_TRAIN = TrainConfig(epochs=3, batch_size=64)
PAPER = SpaceFusionConfig(pretrained_encoder="google-bert/bert-base-cased", pretrained_decoder="openai-community/gpt2")
PAPER_DATA = DialogueConfig(
    encoder_tokeniser="google-bert/bert-base-cased", decoder_tokeniser="openai-community/gpt2", max_words=256
)
PAPER_TRAIN = TrainConfig(epochs=5, batch_size=4)


def _seq2seq(model: SpaceFusionConfig) -> SpaceFusionConfig:
    return replace(model, objective="seq2seq", context_layers=0, freeze_shared=False)


PRESETS = {
    "nano": Preset(
        summary="2+2 layers of 64, P = 32, from scratch; minutes on a laptop's CPU",
        model=NANO,
        train=NANO_TRAIN,
        data=NANO_DATA,
    ),
    "nano-style": Preset(
        summary="StyleFusion: as nano, with sentences in a style beside the dialogues",
        model=replace(NANO, objective="stylefusion"),
        train=NANO_TRAIN,
        data=replace(NANO_DATA, style="world:dialogues-style"),
    ),
    "nano-seq2seq": Preset(
        summary="Seq2Seq baseline: as nano, trained to predict the response alone",
        model=_seq2seq(NANO),
        train=NANO_TRAIN,
        data=NANO_DATA,
    ),
    "paper": Preset(
        summary="BERT-base cased + GPT-2 small, P = 32: the published sizes; give --data",
        model=PAPER,
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
    "paper-style": Preset(
        summary="StyleFusion: as paper; give --data and --style",
        model=replace(PAPER, objective="stylefusion"),
        train=PAPER_TRAIN,
        data=replace(PAPER_DATA, style="world:dialogues-style"),
    ),
    "paper-seq2seq": Preset(
        summary="Seq2Seq baseline: as paper, trained to predict the response alone",
        model=_seq2seq(PAPER),
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
}
