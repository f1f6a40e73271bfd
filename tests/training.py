"""Every registered method at a tiny size, and `start`, which trains one in a process that tests can kill.

python training.py METHOD:PRESET OUT [section.field=value ...] [resume=WHICH] [kill=step:N | kill=save:N]
"""

import sys
from pathlib import Path
from typing import Any

import yaml

import small_methods  # noqa: F401  (registers the small methods)
from genera.engine.shipped import FOLDER
from genera.testing import Case, forked
from genera.testing.processes import Done
from genera.testing.runs import configured, replaced, train

__all__ = ["configured", "replaced"]
TESTS = Path(__file__).parent

SHORT_TEXT: dict[str, object] = {
    "data.data": "world:captions-small",
    "data.limit": 300,
    "data.vocabulary": 400,
    "train.epochs": "null",
    "train.steps": 40,
    "train.batch_size": 16,
    "train.log_every": 5,
    "train.checkpoint_every": 7,
    "train.validate_every": 10,
    "train.validate_batches": 2,
}

SHORT_DIALOGUES: dict[str, object] = SHORT_TEXT | {"data.data": "world:dialogues", "data.limit": 100}

SHORT_IMAGES: dict[str, object] = {
    "data.data": "world:shapes",
    "data.image_size": 28,
    "data.limit": 100,
    "train.steps": 40,
    "train.batch_size": 16,
    "train.log_every": 5,
    "train.checkpoint_every": 7,
}

TINY_GAN: dict[str, object] = SHORT_IMAGES | {
    "train.ema_start": 5,
    "model.width": 2,
    "model.latent_size": 9,
    "model.shared_embedding": 4,
    "model.hierarchical": True,
    "model.attention": 14,
    "model.d_steps": 2,
    # Slow, and with a large epsilon: else Adam turns rounding in gradients that are zero in theory into whole steps.
    "model.g_lr": "0.00005",
    "model.d_lr": "0.00005",
    "model.adam_eps": 0.001,
}
# Few codes, drawn apart: codes taken from flat colours come twice, and which of them is nearer is then rounding.
APART: dict[str, object] = {
    "model.quantiser.codes": [4],
    "model.quantiser.init": "normal",
    "model.quantiser.ema": "ones",
    "model.quantiser.revive_below": 0,
}
# A ReLU that rounding flips moves a network, and a feature on the border of two codes with it: small steps, again.
TINY_FQ = TINY_GAN | APART | {"model.quantiser.after": ["blocks.2"], "model.adam_eps": 0.01}

TINY_STYLES: dict[str, object] = SHORT_IMAGES | {
    "data.image_size": 8,
    "model.max_width": 4,
    "model.latent_size": 8,
    "model.mapping_layers": 2,
}

TINY_TRANSLATION: dict[str, object] = SHORT_IMAGES | {
    "data.data": "world:shapes-pairs",
    "data.image_size": 16,
    "train.batch_size": 4,
    "model.width": 4,
    # γ is nearly 0 at first: Adam would turn rounding in tiny gradients into whole steps, and ReLUs those into others.
    "model.adam_eps": 1e-2,
    "model.lr": "0.00004",
    "model.blocks": 1,
    "model.global_halvings": 2,
    "model.local_halvings": 1,
}

# No dropout: it draws from each rank's own generator.
SHORT_WALKS: dict[str, object] = {
    "data.limit": 120,
    "data.vocabulary": 300,
    "data.view_size": 8,
    "data.angle_size": 4,
    "data.max_tokens": 24,
    "train.steps": 40,
    "train.log_every": 5,
    "train.checkpoint_every": 7,
    "train.validate_every": 10,
    "train.validate_batches": 1,
    "model.encoder.layers": 1,
    "model.encoder.cross_layers": 2,
    "model.encoder.hidden": 16,
    "model.encoder.feed_forward": 32,
}

TINY_PREVALENT: dict[str, object] = SHORT_WALKS | {
    "model.speaker.hidden": 16,
    "model.speaker.embedding": 8,
    "model.speaker.batch_size": 8,
    "model.speaker.dropout": 0.0,
    "model.speaker.feature_dropout": 0.0,
    "model.synthesis.share": 0.005,
    "model.synthesis.shard_size": 40,
    "model.synthesis.max_words": 12,
    "model.pretrain.batch_size": 16,
    "model.agent.r2r.hidden": 16,
    "model.agent.r2r.context": 16,
    "model.agent.r2r.batch_size": 8,
    "model.agent.r2r.horizon": 4,
    "model.agent.r2r.reinforcement": 0.2,
    "model.agent.r2r.lr": 0.001,
    "model.agent.r2r.dropout": 0.0,
    "model.agent.r2r.feature_dropout": 0.0,
}

TINY: dict[str, tuple[str, dict[str, object]]] = {
    "biggan": ("nano", TINY_GAN),
    "biggan:fq": ("nano-fq", TINY_FQ),
    "gpt2-lm": ("nano", SHORT_TEXT),
    "lm": ("nano", SHORT_TEXT),
    # Packed, with unused tokens, in the layout of Llama.
    "lm:llama": (
        "nano",
        SHORT_TEXT
        | {"data.context": 24, "model.decoder.layout": "llama", "model.decoder.key_value_heads": 2}
        | {"model.decoder.tied": True, "model.weight_decay": 0.1},
    ),
    "optimus": ("nano", SHORT_TEXT),
    # Features of the frozen encoder are read from the cache; the decoder is a Llama with several memory slots.
    "optimus:frozen": (
        "nano",
        SHORT_TEXT
        | {
            "model.freeze": ["encoder"],
            "model.feature": "attention",
            "model.memory_slots": 2,
            "model.decoder.layout": "llama",
        }
        | {"model.decoder.key_value_heads": 2},
    ),
    # A trimmed vocabulary, rates of the parts, and both head starts of z.
    "optimus:parts": (
        "nano",
        SHORT_TEXT
        | {"data.decoder_tokeniser": str(FOLDER / "optimus-mini/assets/decoder"), "data.trim_vocabulary": True}
        | {"model.decoder_lr": 0.0005, "model.latent_lr": 0.002, "model.head_start": 0.3, "model.word_dropout": 0.2}
        | {"model.decoder.layout": "llama", "model.memory_slots": 3, "model.memory_positions": "none"},
    ),
    "prevalent": ("tiny", TINY_PREVALENT),
    # Half of each batch in other environments, described by the speaker; then the cross layers learn too.
    "prevalent:back-translation": (
        "tiny",
        TINY_PREVALENT
        | {"model.stages": ["speaker", "finetune"], "model.agent.r2r.back_translation": True}
        | {"model.agent.r2r.unfreeze": 0.5, "model.agent.r2r.unfrozen_lr": 0.0005},
    ),
    # One text for two steps, words alone, on annotated triplets.
    "prevalent:words": (
        "tiny",
        TINY_PREVALENT
        | {"model.stages": ["pretrain"], "model.pretrain.ap_weight": 0.0, "model.pretrain.steps_of_one": 2}
        | {"model.pretrain.synthetic": 0.0},
    ),
    "prevalent:hanna": (
        "hanna-tiny",
        SHORT_WALKS
        | {"model.agent.hanna.hidden": 16, "model.agent.hanna.batch_size": 8, "model.agent.hanna.dropout": 0.0}
        | {"model.agent.hanna.horizon": 4, "model.agent.hanna.evaluation_horizon": 4},
    ),
    "prevalent:ndh": (
        "ndh-tiny",
        SHORT_WALKS
        | {"model.agent.ndh.hidden": 16, "model.agent.ndh.context": 16, "model.agent.ndh.batch_size": 8}
        | {"model.agent.ndh.horizon": 4, "model.agent.ndh.dropout": 0.0, "model.agent.ndh.history": "target"},
    ),
    "small-contrastive": ("tiny", {}),
    "small-energy": ("tiny", {}),
    "small-gan": ("tiny", {}),
    "small-image-vae": ("tiny", {}),
    "small-pipeline": ("tiny", {}),
    "small-student": ("tiny", {}),
    "small-two-stage": ("tiny", {}),
    "spacefusion": ("nano", SHORT_DIALOGUES),
    "spacefusion:seq2seq": ("nano-seq2seq", SHORT_DIALOGUES),
    "spacefusion:style": ("nano-style", SHORT_DIALOGUES),
    "stylegan2": ("nano", TINY_STYLES),
    "stylegan2:fq": ("nano-fq", TINY_STYLES | APART | {"data.image_size": 32}),
    "tac-gan": ("nano", TINY_GAN),
    "tac-gan:fq": ("nano-fq", TINY_FQ),
    "u-gat-it": ("nano", TINY_TRANSLATION),
    "u-gat-it:fq": (
        "nano-fq",
        TINY_TRANSLATION | APART | {"model.light": False, "model.quantiser.after": ["layers.2"]},
    ),
}
"""For every registered method, or METHOD:VARIANT: a preset and overrides under which 40 steps take seconds."""

ROWS_APART: dict[str, dict[str, object]] = {
    "biggan": {"model.norm": "group"},
    "tac-gan": {"model.norm": "group"},
}
"""Overrides under which no row of a batch sees another, for methods with batch normalisation. Its moments are those of
an accumulated part, so that only without it the parts are exactly the whole batch."""


def tiny(method: str) -> list[str]:
    """Command-line words that train `method` at its tiny size."""
    name, overrides = TINY[method]
    return [f"{method.partition(':')[0]}:{name}", *words(overrides)]


def words(overrides: dict[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in overrides.items()]


_WORDS = ("--likelihood.items=8", "--likelihood.samples=12", "--samples.items=40", "--samples.count=16")
EVALUATION: dict[str, tuple[str, ...]] = {
    "gpt2-lm": _WORDS,
    "lm": _WORDS,
    "optimus": (
        *_WORDS,
        *("--latent.items=40", "--reconstruction.items=40", "--interpolation.pairs=2", "--analogy.count=20"),
    ),
}
"""Words of a short `genera evaluate`, for the methods that one takes seconds for. The others train networks to be
measured by, and are evaluated in tests/evaluation."""


def case_of(name: str) -> Case:
    """The case of the tests over every method that TINY has under `name`. 24 steps have all that 40 have."""
    preset, overrides = TINY[name]
    method = name.partition(":")[0]
    values = {key: yaml.safe_load(value) if isinstance(value, str) else value for key, value in overrides.items()}
    return Case(
        method=f"{method}:{preset}",
        overrides=values | {"train.steps": 24},
        rows_apart=ROWS_APART.get(method, {}),
        # A large epsilon may keep a tiny gradient from moving a weight by more than rounding.
        learning={"model.adam_eps": 1e-8} if "model.adam_eps" in values else {},
        prepare=off_the_bound,
        evaluation=EVALUATION.get(method),
        imports=("small_methods",),
    )


def off_the_bound(method: Any) -> None:
    """AdaLIN's rho begins at a bound, where one that is pulled outwards stays."""
    for name, parameter in method.named_parameters():
        if name.endswith(".rho"):
            parameter.data.fill_(0.5)


def start(*words: object, ranks: int = 1) -> Done:
    """Train as this file does with `words`, in a forked process, and wait. One thread a rank, so that results do not
    depend on the machine's load."""
    spec, out, how = parsed([str(word) for word in words])
    return forked("genera.testing.runs:train", spec, out, ranks=ranks, imports=["small_methods"], **how)


def parsed(words: list[str]) -> tuple[str, str, dict[str, Any]]:
    """(METHOD:PRESET, OUT, keywords of `train`)."""
    spec, out, *rest = words
    given = dict(word.split("=", 1) for word in rest)
    how = {name: given.pop(name) for name in ("resume", "kill") if name in given}
    return spec, out, {**how, "overrides": {key: yaml.safe_load(value) for key, value in given.items()}}


if __name__ == "__main__":
    spec, out, how = parsed(sys.argv[1:])
    train(spec, out, **how)
