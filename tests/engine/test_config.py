from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import pytest

import small_methods  # noqa: F401
from genera.engine import registry
from genera.engine.config import TrainConfig, differences, from_dict, to_dict, with_budget
from genera.errors import GeneraError


@dataclass(frozen=True)
class Inner:
    width: int = 3


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    limit: int | None = None
    place: Path | None = None


def test_round_trip_through_plain_values():
    config = Outer(Inner(5), 1.0, "b", ("x", "y"), 7, Path("a") / "b")
    assert to_dict(config)["place"] == "a/b"
    assert from_dict(Outer, to_dict(config), "here") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {}, "rat": 1.0}, "did you mean rate"),
        ({}, "lacks the field 'inner'"),
        ({"inner": {"width": "wide"}}, "here.inner.width must be int, got 'wide'"),
        ({"inner": {}, "kind": "c"}, "unknown value of here.kind"),
        ({"inner": {}, "limit": True}, "here.limit must be int"),
        ("text", "must be a mapping"),
    ],
)
def test_bad_values_name_their_place(values, message):
    with pytest.raises(GeneraError, match=message):
        from_dict(Outer, values, "here")


def test_all_complaints_come_at_once():
    complaints = TrainConfig(steps=3, epochs=1, batch_size=0, clip=-1).check()
    assert len(complaints) == 3
    assert "exactly one budget" in complaints[0]


def test_a_budget_replaces_the_other():
    assert with_budget(TrainConfig(epochs=3), steps=10).check() == []


@pytest.mark.parametrize("name", sorted(registry.entries()))
def test_every_preset_is_valid_and_survives_its_file(name):
    for preset in registry.entry(name).presets:
        _, config = registry.preset(f"{name}:{preset}")
        config.check()
        again = registry.run_config(to_dict(config), "config.yaml")
        assert again == config
        assert differences(config, again) == []


def test_differences_ignore_what_moves_no_weight():
    _, config = registry.preset("small-gan:tiny")
    quieter = replace(config, train=replace(config.train, log_every=1, device="cpu"))
    longer = replace(config, train=replace(config.train, steps=41))
    assert differences(config, quieter) == []
    assert differences(config, longer) == ["train.steps: 40 -> 41"]


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(GeneraError, match="did you mean small-gan"):
        registry.preset("small-gn")
    with pytest.raises(GeneraError, match="did you mean tiny"):
        registry.preset("small-gan:tinny")


def test_sentences_longer_than_the_model_are_refused_before_training():
    """Not when the first long batch arrives."""
    for spec in ("optimus:nano", "gpt2-lm:nano"):
        with pytest.raises(GeneraError, match="--max-tokens 129 exceeds the 128 positions"):
            registry.configure(spec, max_tokens=129).check()


@pytest.mark.parametrize("name", sorted(registry.entries()))
def test_no_option_has_two_meanings(name):
    """The fields of data, train and model are all options of one command line."""
    _, config = registry.preset(name)
    names = [f.name for part in (config.data, config.train, config.model) for f in fields(part)]
    assert sorted(names) == sorted(set(names))
