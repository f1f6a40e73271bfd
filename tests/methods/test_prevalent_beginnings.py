"""What a run of Prevalent begins with: networks of another run, files, or nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from genera.engine.registry import preset
from genera.errors import GeneraError
from genera.methods.prevalent.method import Prevalent
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData

TINY = preset("prevalent:tiny")[1].model


@pytest.fixture(scope="module")
def method():
    assets = NavigationData.open(NavigationConfig(limit=60)).assets
    return lambda **changes: Prevalent(replace(TINY, **changes), assets)


def test_a_speaker_that_nothing_has_trained_is_refused(method):
    for begin in (Prevalent.initialise, lambda run: run.complete(["speaker", "encoder"])):
        with pytest.raises(GeneraError, match="need a trained speaker; add speaker to --stages"):
            begin(method(stages=("synthesis",)))
    method(stages=("synthesis",)).complete(["encoder"])  # --init has brought the speaker


def test_a_file_of_weights_does_not_replace_what_another_run_has_brought(method):
    run = method(stages=("pretrain",), encoder=replace(TINY.encoder, pretrained="nowhere.safetensors"))
    with pytest.raises(GeneraError, match="--init has brought an encoder; leave"):
        run.complete(["word_head"])
    with pytest.raises(GeneraError, match=r"nowhere\.safetensors"):
        run.complete(["encoder", "word_head"])


def test_word_vectors_are_for_a_new_speaker_alone(method):
    run = method(stages=("speaker",), speaker=replace(TINY.speaker, word_vectors=Path("nowhere.txt")))
    run.complete(["encoder"])
    for begin in (run.initialise, lambda: run.complete(["speaker"])):
        with pytest.raises(GeneraError, match=r"nowhere\.txt"):
            begin()
