"""Presets of Prevalent. `paper` has the published settings; `tiny` runs all four stages in minutes on a CPU."""

from dataclasses import replace

from genera.engine.config import TrainConfig
from genera.engine.registry import Preset
from genera.methods.prevalent.agents.config import AgentConfig, HannaConfig, NDHConfig, R2RConfig, Task
from genera.methods.prevalent.config import PrevalentConfig
from genera.methods.prevalent.encoder.config import EncoderConfig, PretrainConfig
from genera.methods.prevalent.speaker.config import SpeakerConfig, SynthesisConfig
from genera.navigation.config import NavigationConfig

# The published schedules: 80,000 steps of the speaker, one pass over 6.6 million triplets in batches of 512, and
# 100,000 steps of the follower, the last 30,000 with the cross layers unfrozen. That share is not published. Gradients
# are clipped at 40 for the speaker and the follower, at 1 in the pre-training, and not at all for the other tasks.
PAPER = PrevalentConfig(
    shares=(80_000, 12_864, 100_000),
    pretrain=PretrainConfig(batch_size=512, clip=1.0),
    agent=AgentConfig(r2r=R2RConfig(unfreeze=0.3, back_translation=True, batch_size=40)),  # 20 real, 20 synthetic
)
PAPER_DATA = NavigationConfig(view_size=2048, angle_size=128, tokeniser="google-bert/bert-base-uncased")
PAPER_TRAIN = TrainConfig(steps=192_864, clip=40.0, log_every=100, validate_every=2000, checkpoint_every=2000)

BASE_SMALL = replace(
    PAPER,
    speaker=SpeakerConfig(hidden=256, embedding=128),
    encoder=EncoderConfig(layers=4, hidden=256, heads=8, feed_forward=1024, positions=128, cross_layers=2),
    pretrain=PretrainConfig(batch_size=256, lr=2e-4, warmup=200, clip=1.0),
    agent=AgentConfig(r2r=R2RConfig(hidden=512, context=512, lr=1e-4, batch_size=64)),
)

# At width 64, initial weights with the published standard deviation of 0.02 would make attention outputs too small.
TINY_ENCODER = EncoderConfig(
    layers=2, hidden=64, heads=4, feed_forward=256, positions=128, dropout=0.0, cross_layers=2, init=0.05
)
TINY = PrevalentConfig(
    shares=(300, 500, 500),
    speaker=SpeakerConfig(hidden=128, embedding=64, dropout=0.1, feature_dropout=0.0, lr=6e-3, batch_size=64),
    # Of 32 features, dropping 40% would leave too little. Greedy decoding would use too few different words.
    synthesis=SynthesisConfig(samples=2, share=0.2, max_words=80, environment_dropout=0.1, temperature=1.0),
    encoder=TINY_ENCODER,
    pretrain=PretrainConfig(batch_size=64, lr=1e-3, warmup=50),
    agent=AgentConfig(
        r2r=R2RConfig(
            hidden=64,
            context=64,
            dropout=0.1,
            feature_dropout=0.1,
            lr=2e-3,
            batch_size=32,
            horizon=12,
            imitation=1.0,
            reinforcement=0.0,  # sampled rollouts would double the time
        ),
        ndh=NDHConfig(hidden=64, context=64, dropout=0.1, lr=1e-3, batch_size=32, horizon=12),
        hanna=HannaConfig(hidden=64, heads=4, dropout=0.1, lr=1e-3, evaluation_horizon=30),
    ),
)
TINY_DATA = NavigationConfig(view_size=32, angle_size=16)
# Actions are learned only after about 2,000 steps of pre-training. All paths are described, six times each.
HOUSES = replace(TINY, shares=(300, 6000, 500), synthesis=replace(TINY.synthesis, samples=6, share=1.0))
TINY_TRAIN = TrainConfig(steps=1300, log_every=20, validate_every=250, validate_batches=4, checkpoint_every=100)


def _task(task: Task, summary: str, model: PrevalentConfig, train: TrainConfig, data: NavigationConfig) -> Preset:
    """Fine-tuning of a task's agent, with the encoder of --init."""
    return Preset(
        summary=f"{summary}; give --init RUN of a pre-training",
        model=replace(model, stages=("finetune",), task=task),
        train=train,
        data=data,
    )


PRESETS = {
    "tiny": Preset(
        summary="all four stages on procedural houses: 2+2 layers of 64; minutes on a laptop's CPU",
        model=TINY,
        train=TINY_TRAIN,
        data=TINY_DATA,
    ),
    "houses": Preset(
        summary="as tiny, with enough pre-training on all paths to learn actions; half an hour",
        model=HOUSES,
        train=replace(TINY_TRAIN, steps=6800),
        data=TINY_DATA,
    ),
    "r2r-tiny": Preset(
        summary="as tiny, on the real graphs and instructions; give --data r2r:DIR",
        model=TINY,
        train=TINY_TRAIN,
        data=TINY_DATA,
    ),
    "base-small": Preset(
        summary="all four stages: 4+2 layers of 256; for a GPU; give --data r2r:DIR",
        model=BASE_SMALL,
        train=replace(PAPER_TRAIN, steps=40_000),
        data=replace(TINY_DATA, vocabulary=8000),
    ),
    "paper": Preset(
        summary="all four stages in the published sizes; give --data r2r:DIR and --features ResNet-152-imagenet.tsv",
        model=PAPER,
        train=PAPER_TRAIN,
        data=PAPER_DATA,
    ),
    "ndh": _task(
        "ndh",
        "the published agent of dialogues; give --data ndh:DIR",
        PAPER,
        TrainConfig(steps=20_000, clip=0.0, log_every=100, validate_every=1000, checkpoint_every=1000),
        replace(PAPER_DATA, data="world:houses-ndh", max_tokens=300),
    ),
    "ndh-tiny": _task(
        "ndh",
        "a tiny agent of dialogues in procedural houses",
        TINY,
        replace(TINY_TRAIN, steps=300),
        replace(TINY_DATA, data="world:houses-ndh"),
    ),
    "hanna": _task(
        "hanna",
        "the published agent that asks for help; give --data hanna:DIR",
        PAPER,
        TrainConfig(steps=30_000, clip=0.0, log_every=100, validate_every=1000, checkpoint_every=1000),
        replace(PAPER_DATA, data="world:houses-hanna", max_tokens=50),
    ),
    "hanna-tiny": _task(
        "hanna",
        "a tiny agent that asks for help in procedural houses",
        TINY,
        replace(TINY_TRAIN, steps=1500),
        replace(TINY_DATA, data="world:houses-hanna"),
    ),
}
