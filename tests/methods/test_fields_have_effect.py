"""Every field of every config does something. A new field fails here until it says, in EFFECTS, what it changes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

import genera
from genera import worlds
from genera.blocks.size import NANO_ENCODER, DecoderShape, EncoderShape
from genera.data.text.config import DataConfig, PackedDataConfig
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.engine import checkpoint, registry
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.dry_run import dry_run
from genera.engine.folder import RunFolder
from genera.errors import GeneraError
from genera.methods.lm.config import Gpt2LmConfig, LmConfig
from genera.methods.optimus.config import OptimusConfig

METHODS = [name for name in registry.entries() if isinstance(registry.preset(name)[1].data, DataConfig)]
"""Those of text. A field of TrainConfig that has an effect on them has it on all."""


# what a field may change: (config, empty folder) → something to compare


def weights(config: RunConfig, out: Path) -> Any:
    """The trained weights, by their bytes."""
    folder = genera.train(config, out)
    last = checkpoint.pick(folder.checkpoints)
    tensors = load_file(last / "weights.safetensors")
    return {name: (t.shape, hashlib.sha256(t.numpy().tobytes()).digest()) for name, t in tensors.items()}


def averages(config: RunConfig, out: Path) -> Any:
    """The moving averages of weights, by their bytes."""
    last = checkpoint.pick(genera.train(config, out).checkpoints)
    return {name: t.numpy().tobytes() for name, t in load_file(last / "average.safetensors").items()}


def metrics(config: RunConfig, out: Path) -> Any:
    """metrics.jsonl, but for clock and memory."""
    clock = {"seconds", "items_per_second", "memory_mb"}
    rows = RunFolder(genera.train(config, out).path).metrics()
    return [{name: value for name, value in row.items() if name not in clock} for row in rows]


def files(config: RunConfig, out: Path) -> Any:
    """Names in the run folder."""
    folder = genera.train(config, out)
    return sorted({str(path.relative_to(out)) for path in folder.path.rglob("*") if "events" not in path.name})


def labels(config: RunConfig, out: Path) -> Any:
    return registry.entry(config.method).load().dataset.open(config.data).labels("train", 5)


def memory(config: RunConfig, out: Path) -> Any:
    """Bytes of activations that a step keeps."""
    return dry_run(config)["memory_bytes"]["activations"]


def spread(config: RunConfig, out: Path) -> Any:
    """Bytes that a rank of several would take. What it does to them: tests/engine/test_sharding.py."""
    return dry_run(config)["meshes"]


def refusal(config: RunConfig, out: Path) -> Any:
    """The error that says that the value cannot be had here."""
    try:
        weights(config, out)
    except GeneraError as error:
        return str(error)
    return None


def compiled(config: RunConfig, out: Path) -> Any:
    """Classes of the networks that were handed to torch.compile (which then runs them as they are, to save time)."""
    handed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "compile", lambda network: handed.append(type(network).__name__))
        genera.train(config, out)
    return handed


# what changes


@dataclass
class Change:
    value: Any
    """the new value, or a function of the folder of files that gives it"""
    seen: Callable[[RunConfig, Path], Any] = weights
    besides: dict[str, Any] = field(default_factory=dict)
    """fields of the same config that must change along"""
    under: dict[str, Any] = field(default_factory=dict)
    """fields of the run, by place, under which it has an effect; with and without the change. A value may be a function
    of the folder of files"""


SHAPE = {
    "layers": Change(1),
    "hidden": Change(32),
    "heads": Change(2),
    "feed_forward": Change(64),
    "positions": Change(120),
    "dropout": Change(0.2),
    "init": Change(0.1),
}
SGD, STEPS = {"model.optimiser": "sgd"}, {"model.schedule": "step", "model.decay_every": 1}
# The mean of the weights takes the place of --ema. At this rate the validation loss rises, which triggers averaging.
AVERAGED = {"train.ema": 0.0, "train.steps": 6, "train.validate_every": 1, "model.lr": 5.0}
OPTIMISER = {
    "optimiser": Change("sgd"),
    "lr": Change(3e-3),
    "weight_decay": Change(0.5),
    "betas": Change((0.5, 0.9)),
    "eps": Change(1e-2),
    "momentum": Change(0.9, under=SGD),
    "nesterov": Change(True, under=SGD | {"model.momentum": 0.9}),
    "smoothing": Change(0.5, under={"model.optimiser": "rmsprop"}),
    "average_from": Change(2, averages, under=AVERAGED | {"model.optimiser": "asgd"}),
    "patience": Change(1, averages, under=AVERAGED | {"model.optimiser": "nt-asgd"}),
    "schedule": Change("constant"),
    "warmup": Change(3),
    "decay_after": Change(0.5),
    "decay_to": Change(0.5),
    "decay_every": Change(2, under=STEPS),
    "decay_factor": Change(0.1, under=STEPS),
}

TEXT: dict[str, Change] = {
    "data": Change(lambda files: f"tsv:{files}/other/*.tsv"),
    "limit": Change(30),
    "text_column": Change("2"),
    "label_column": Change("0", labels),
    "max_words": Change(12),
    "max_tokens": Change(20),
    "encoder_tokeniser": Change(lambda files: str(files / "wordpiece")),
    "decoder_tokeniser": Change(lambda files: str(files / "bpe")),
    "vocabulary": Change(310),
    "bucket_noise": Change(5.0),
    "special_tokens": Change("own"),
    "trim_vocabulary": Change(True, under={"data.decoder_tokeniser": lambda files: str(files / "captions")}),
}
LANGUAGE_MODEL: dict[str, Change] = {
    "pretrained_decoder": Change(lambda files: str(files / "gpt2")),
    "vocabulary_multiple": Change(64),
    "position_init": Change(0.5),
    "checkpointing": Change(True, memory),
    **OPTIMISER,
}
EFFECTS: dict[type, dict[str, Change]] = {
    DataConfig: TEXT,
    PackedDataConfig: TEXT
    | {
        "context": Change(16, under={"model.loss": "token"}),
        "special_tokens": Change("own", under={"data.special_tokens": "append"}),
    },
    TrainConfig: {
        "steps": Change(5),
        "epochs": Change(1, besides={"steps": None}),
        "minutes": Change(0.002, besides={"steps": None}),
        "batch_size": Change(16),
        "accumulate": Change(2),
        "clip": Change(0.1),
        "precision": Change("bf16"),
        "ema": Change(0.0, files),
        "ema_start": Change(3, averages),
        "sharding": Change("fsdp", spread),
        "replicas": Change(2, refusal, under={"train.sharding": "fsdp"}),  # on one rank
        "tensor_parallel": Change(2, refusal),
        "compile": Change(True, compiled),
        "init": Change("nowhere", refusal),  # what it does: tests/engine/test_init.py
        "seed": Change(7),
        "device": Change("toaster", refusal),
        "log_every": Change(1, metrics),
        "validate_every": Change(0, metrics),
        "validate_batches": Change(2, metrics),
        "checkpoint_every": Change(3, files),
        "keep": Change(1, files),
        "track": Change(("tensorboard",), files),
    },
    EncoderShape: SHAPE | {"layout": Change("roformer")},
    DecoderShape: SHAPE
    | {
        "layout": Change("llama"),
        "key_value_heads": Change(2),
        "head_size": Change(8),
        "rotary_base": Change(500.0, under={"model.decoder.layout": "llama"}),
        "epsilon": Change(1e-2),
        "tied": Change(False),
    },
    LmConfig: LANGUAGE_MODEL
    | {"pretrained_decoder": Change(lambda files: str(files / "gpt2-own"))}
    | {"loss": Change("sentence"), "decayed": Change("all", under={"model.weight_decay": 0.5})},
    Gpt2LmConfig: LANGUAGE_MODEL
    | {"loss": Change("token"), "decayed": Change("matrices", under={"model.weight_decay": 0.5})},
    OptimusConfig: {
        "pretrained_encoder": Change(lambda files: str(files / "bert")),
        "pretrained_decoder": Change(lambda files: str(files / "gpt2")),
        "latent_size": Change(8),
        "feature": Change("pooler"),
        "feature_queries": Change(4, under={"model.feature": "attention"}),
        "injection": Change("memory"),
        "memory_slots": Change(3),
        "freeze": Change(("decoder",)),
        "memory_positions": Change("none"),
        "encoder_lr": Change(5e-4),
        "decoder_lr": Change(5e-4),
        "latent_lr": Change(5e-3),
        "head_start": Change(0.3),
        "word_dropout": Change(0.3),
        "latent_init": Change(0.2),
        "checkpointing": Change(True, memory),
        "beta": Change(0.3),
        "beta_schedule": Change("constant"),
        "beta_cycles": Change(2),
        "beta_hold": Change(0.2),
        "beta_ramp": Change(0.4),
        "free_bits": Change(0.0),
        "free_bits_over": Change("batch"),
        "length_weighted": Change(True),
        "unit_variance": Change(True),
        **OPTIMISER,
    },
}
# Fields that a method cannot use are refused in words.
REFUSED = {("gpt2-lm", "data.encoder_tokeniser"): "has no encoder", ("lm", "data.encoder_tokeniser"): "has no encoder"}


def places(config: Any, path: str = "") -> list[str]:
    """Dotted names of all fields, nested ones in place of the field that holds them."""
    names = []
    for f in fields(config):
        value = getattr(config, f.name)
        names += places(value, f"{path}{f.name}.") if is_dataclass(value) else [f"{path}{f.name}"]
    return names


def owner(config: Any, place: str) -> Any:
    """The config that holds the last name of `place`."""
    for name in place.split(".")[:-1]:
        config = getattr(config, name)
    return config


def changed(config: Any, place: str, values: dict[str, Any]) -> Any:
    head, _, rest = place.partition(".")
    if not rest:
        return replace(config, **values)
    return replace(config, **{head: changed(getattr(config, head), rest, values)})


def placed(config: RunConfig, values: dict[str, Any]) -> RunConfig:
    """The config with the fields at these places set."""
    for place, value in values.items():
        config = changed(config, place, {place.split(".")[-1]: value})
    return config


CASES = [
    (method, place)
    for method in METHODS
    for place in places(registry.preset(method)[1])
    if place not in ("method", "preset")
]


@pytest.fixture(scope="module")
def files_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora of two text columns each, tokenisers, and pretrained weights of nano's size."""
    folder = tmp_path_factory.mktemp("files")
    for name, seed in (("mine", 1), ("other", 2)):
        (folder / name).mkdir()
        for split, count in (("train", 80), ("valid", 24), ("test", 8)):
            texts = worlds.load("captions-small").sentences(2 * count, seed=seed, split=split)
            rows = [f"{i % 2}\t{a}\t{b}" for i, (a, b) in enumerate(zip(texts[::2], texts[1::2], strict=True))]
            (folder / name / f"{split}.tsv").write_text("\n".join(rows))
    sizes = {}
    mine = [row.split("\t")[1] for row in (folder / "mine" / "train.tsv").read_text().splitlines()]
    for kind in ("wordpiece", "bpe"):
        Tokeniser.train(kind, lambda: texts, 305, special_tokens="own").save(folder / kind)
        sizes[kind] = Tokeniser.train(kind, lambda: mine, 400).size
    captions = worlds.load("captions").sentences(200, seed=3)
    Tokeniser.train("bpe", lambda: captions, 400, special_tokens="own").save(folder / "captions")
    bert = transformers.BertConfig(
        vocab_size=sizes["wordpiece"], hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=256, max_position_embeddings=NANO_ENCODER.positions,
    )  # fmt: skip
    sizes["own"] = Tokeniser.train("bpe", lambda: mine, 400, special_tokens="own").size
    for name, vocabulary in (("gpt2", sizes["bpe"] - 3), ("gpt2-own", sizes["own"])):
        gpt2 = transformers.GPT2Config(
            vocab_size=vocabulary, n_embd=64, n_layer=2, n_head=4, n_positions=NANO_ENCODER.positions,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        transformers.GPT2Model(gpt2).save_pretrained(folder / name)
    transformers.BertModel(bert).save_pretrained(folder / "bert")
    return folder


@pytest.fixture(scope="module")
def base(files_at: Path) -> Callable[[str], RunConfig]:
    """Four steps in which every schedule gets to matter: progress 0, .25, .5 and .75."""
    torch.set_num_threads(1)

    def of(method: str) -> RunConfig:
        return genera.configure(
            f"{method}:nano", data=f"tsv:{files_at}/mine/*.tsv", text_column="1", max_words=30, vocabulary=400,
            steps=4, batch_size=8, log_every=2, validate_every=2, validate_batches=1, checkpoint_every=2, warmup=0,
            ema=0.5, device="cpu",
        )  # fmt: skip

    return of


@pytest.fixture(scope="module")
def unchanged(base: Callable[[str], RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """What the base config gives, computed once for each method, observation and circumstances."""
    known: dict[Any, Any] = {}

    def of(method: str, seen: Callable[[RunConfig, Path], Any], under: dict[str, Any] | None = None) -> Any:
        key = method, seen, repr(under or {})
        if key not in known:
            known[key] = seen(placed(base(method), under or {}), tmp_path_factory.mktemp("base") / "run")
        return known[key]

    return of


@pytest.mark.parametrize(("method", "place"), CASES)
def test_a_field_has_an_effect(base, unchanged, files_at, tmp_path, method, place):
    config, name = base(method), place.split(".")[-1]
    table = EFFECTS[type(owner(config, place))]
    assert name in table, f"say in EFFECTS what {place} changes"
    change = table[name]
    value = change.value(files_at) if callable(change.value) else change.value
    under = {at: given(files_at) if callable(given) else given for at, given in change.under.items()}
    other = changed(placed(config, under), place, {name: value, **change.besides})
    if words := REFUSED.get((method, place)):
        assert words in refusal(other, tmp_path / "run")
        return
    if change.seen is not refusal:
        other.check()
    assert change.seen(other, tmp_path / "run") != unchanged(method, change.seen, under)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_config_gives_the_same(base, unchanged, tmp_path, method):
    """Or else a difference would show nothing."""
    for seen in (weights, metrics, files):
        assert seen(base(method), tmp_path / seen.__name__) == unchanged(method, seen)


def test_the_table_holds_no_field_that_is_gone():
    for kind, table in EFFECTS.items():
        nested = {f.name for f in fields(kind) if is_dataclass(getattr(kind, f.name, None))}
        assert set(table) == {f.name for f in fields(kind)} - nested
