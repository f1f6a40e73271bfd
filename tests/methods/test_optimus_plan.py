"""`genera train optimus --data … --minutes N`: a preset for the corpus, the budget and the machine."""

from pathlib import Path

import pytest

from genera.cli.main import main
from genera.engine import registry
from genera.errors import GeneraError
from genera.methods.optimus import plan as planning

SHORT = ["--device", "cpu", "--log-every", "3", "--validate-every", "0"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text("".join(f"sentence number {i} of my own text .\n" for i in range(300)))
    return path


def configured(corpus: Path, minutes: float, **options: object):
    return lambda preset: registry.configure(
        f"optimus:{preset}", data=f"text:{corpus}", minutes=minutes, device="cpu", **options
    )


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(source: str) -> Path:
        raise GeneraError(f"{source} is not a folder and could not be downloaded from the hub.")

    monkeypatch.setattr(planning, "find", find)


def test_without_a_pretrained_encoder_it_trains_from_scratch(corpus, offline, capsys):
    assert planning.plan(configured(corpus, 5)) == "small-attention"
    said = capsys.readouterr().err
    assert "training texts of 8 words" in said
    assert "from scratch, since the pre-trained encoder can be neither found nor downloaded" in said
    assert "BLEU" in said


def test_an_encoder_that_the_user_names_must_be_there(corpus, offline):
    with pytest.raises(GeneraError, match="nowhere is not a folder"):
        planning.plan(configured(corpus, 5, pretrained_encoder="nowhere"))


@pytest.mark.parametrize(("rate", "preset"), [(1e6, "minilm"), (0.1, "small-attention")])
def test_a_pretrained_encoder_has_to_read_the_corpus_in_half_the_time(corpus, monkeypatch, rate, preset):
    monkeypatch.setattr(planning, "find", Path)
    monkeypatch.setattr(planning, "_texts_per_second", lambda config, words: rate)
    monkeypatch.setattr(planning, "_seconds_per_step", lambda config, words: 0.2)
    assert planning.plan(configured(corpus, 5)) == preset


def test_more_sentences_promise_more(capsys):
    few, many = (planning._expectation("minilm", seen) for seen in (50_000, 5_000_000))
    assert "very little" in planning._expectation("minilm", 100)
    assert few != many


def test_ranks_do_not_plan(corpus, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="name a preset with torchrun: optimus:nano or"):
        main(["train", "optimus", "--data", f"text:{corpus}", "--minutes", "1", "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_corpus_of_long_texts_names_the_option(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word " * 200 + "\n")
    with pytest.raises(GeneraError, match="--max-words"):
        planning.plan(configured(path, 5))


def test_the_command_plans_trains_and_tells_what_came_out(corpus, offline, tmp_path, capsys):
    command = ["train", "optimus", "--data", f"text:{corpus}", "--minutes", "0.05", "--out", str(tmp_path / "run")]
    small = ["--encoder.layers", "1", "--decoder.layers", "1", "--vocabulary", "400"]
    main([*command, *SHORT, *small])
    output = capsys.readouterr()
    assert "optimus:small-attention" in output.err
    assert "what came out" in output.out
    assert "samples as they came" in output.out
    assert registry.read_config(tmp_path / "run").preset == "small-attention"
    main([*command, *SHORT, *small])  # the run keeps its preset, and nothing is trained or planned again
    output = capsys.readouterr()
    assert "already trained" in output.err
    assert "from scratch, since" not in output.err
