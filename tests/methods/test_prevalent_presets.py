"""The presets of the published sizes say what the papers and their code say."""

from functools import reduce

import pytest

from genera.methods.prevalent.presets import PRESETS

R2R = {
    "model.agent.r2r.lr": 2e-5, "model.agent.r2r.unfrozen_lr": 2e-6, "model.agent.r2r.dropout": 0.4,
    "model.agent.r2r.feature_dropout": 0.4, "model.agent.r2r.environment_dropout": 0.4, "model.agent.r2r.horizon": 35,
    "model.agent.r2r.hidden": 1024, "model.agent.r2r.context": 2048, "model.agent.r2r.discount": 0.9,
    "model.agent.r2r.imitation": 0.2, "model.agent.r2r.imitation_synthetic": 0.6, "model.agent.r2r.entropy": 0.01,
    "model.agent.r2r.back_translation": True, "model.agent.r2r.batch_size": 20 + 20,
}  # fmt: skip
ENCODER = {
    "model.encoder.layers": 9, "model.encoder.cross_layers": 4, "model.encoder.hidden": 768, "model.encoder.heads": 12,
    "model.encoder.feed_forward": 3072, "model.encoder.dropout": 0.1, "model.pretrain.masked": 0.15,
    "model.pretrain.lr": 5e-5, "model.pretrain.warmup": 0, "model.pretrain.weight_decay": 0.0,
    "model.pretrain.clip": 1.0, "model.pretrain.mlm_weight": 1.0, "model.pretrain.ap_weight": 1.0,
    "data.view_size": 2048, "data.angle_size": 128, "data.layout": "block",
}  # fmt: skip
SPEAKER = {
    "model.speaker.variant": "envdrop", "model.speaker.hidden": 512, "model.speaker.embedding": 256,
    "model.speaker.dropout": 0.6, "model.speaker.feature_dropout": 0.3, "model.speaker.lr": 1e-4,
    "model.speaker.batch_size": 64, "model.speaker.max_words": 80, "model.synthesis.samples": 6,
    "model.synthesis.share": 1.0, "model.synthesis.max_words": 120,
}  # fmt: skip
NDH = {
    "model.agent.ndh.lr": 5e-5, "model.agent.ndh.weight_decay": 5e-4, "model.agent.ndh.batch_size": 20,
    "model.agent.ndh.dropout": 0.4, "model.agent.ndh.horizon": 40, "model.agent.ndh.sampled": 0.2,
    "model.agent.ndh.hidden": 1024, "model.agent.ndh.context": 2048, "train.steps": 20_000, "train.clip": 0.0,
    "data.max_tokens": 300,
}  # fmt: skip
HANNA = {
    "model.agent.hanna.lr": 1e-4, "model.agent.hanna.weight_decay": 5e-4, "model.agent.hanna.batch_size": 32,
    "model.agent.hanna.dropout": 0.3, "model.agent.hanna.hidden": 256, "model.agent.hanna.heads": 8,
    "model.agent.hanna.horizon": 20, "model.agent.hanna.evaluation_horizon": 50,
    "model.agent.hanna.repeat_penalty": 1.0, "model.agent.hanna.uncertain": 0.25, "train.steps": 30_000,
    "data.max_tokens": 50,
}  # fmt: skip
PUBLISHED = {
    "paper": {**SPEAKER, **ENCODER, **R2R, "train.clip": 40.0, "train.steps": 192_864, "data.max_tokens": 80},
    "ndh": {**ENCODER, **NDH},
    "hanna": {**ENCODER, **HANNA},
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_settings(preset):
    chosen = PRESETS[preset]
    found = {name: reduce(getattr, name.split("."), chosen) for name in PUBLISHED[preset]}
    assert found == PUBLISHED[preset]


def test_the_parts_of_the_paper_have_their_published_steps():
    paper = PRESETS["paper"]
    assert paper.model.shares == (80_000, 12_864, 100_000)
    assert sum(paper.model.shares) == paper.train.steps


def test_the_parts_of_the_small_presets_have_the_steps_of_their_shares():
    for name in ("tiny", "houses", "r2r-tiny"):
        assert sum(PRESETS[name].model.shares) == PRESETS[name].train.steps, name


def test_every_preset_is_valid():
    for name, preset in PRESETS.items():
        assert preset.model.check() == [], name
        assert preset.model.check_data(preset.data) == [], name
        assert preset.data.check() == [], name
