"""`genera sample`, `reconstruct`, `encode`, `interpolate`, `analogy`: data on stdout, and only data."""

import gzip
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import genera as library
from commands import genera

SENTENCES = ["the cat sees a dog .", "two men are outside the museum ."]
USES = {
    "sample": ["--count", "2"],
    "reconstruct": SENTENCES,
    "interpolate": [*SENTENCES, "--steps", "3"],
    "analogy": [*SENTENCES, "a cat sleeps ."],
}
SHORT = ("--max-tokens", "6")


@pytest.mark.parametrize("command", USES)
def test_the_same_values_as_text_and_as_json(tiny_run, command):
    words = (command, tiny_run, *USES[command], *SHORT)
    text, values = genera(*words), genera(*words, "--json")
    assert (text.code, text.err) == (0, "")
    assert (values.code, values.err) == (0, (""))[:2]
    outputs = [value["output"] if command == "reconstruct" else value for value in values.json]
    assert text.out == "\n".join(outputs) + "\n"
    assert len(outputs) == {"sample": 2, "reconstruct": 2, "interpolate": 4, "analogy": 1}[command]


@pytest.mark.parametrize("command", USES)
def test_the_python_call_gives_the_same(tiny_run, command):
    run = library.load(tiny_run)
    words = [word for word in USES[command] if not word.startswith("--") and not word.isdigit()]
    called = {
        "sample": lambda: run.sample(2, max_tokens=6),
        "reconstruct": lambda: run.reconstruct(words, max_tokens=6),
        "interpolate": lambda: run.interpolate(*words, steps=3, max_tokens=6),
        "analogy": lambda: [run.analogy(*words, max_tokens=6)],
    }[command]()
    shown = genera(command, tiny_run, *USES[command], *SHORT, "--json").json
    assert [value["output"] if command == "reconstruct" else value for value in shown] == called


def test_the_seed_and_the_temperature_reach_the_decoder(tiny_run):
    words = ("sample", tiny_run, "--count", "3", *SHORT, "--temperature", "1")
    assert genera(*words, "--seed", "1").out == genera(*words, "--seed", "1").out
    assert genera(*words, "--seed", "1").out != genera(*words, "--seed", "2").out
    greedy = genera("sample", tiny_run, "--count", "3", *SHORT, "--temperature", "1", "--top-k", "1")
    assert greedy.out == genera("sample", tiny_run, "--count", "3", *SHORT).out


def test_checkpoints_are_chosen(tiny_run):
    assert genera("sample", tiny_run, *SHORT, "--checkpoint", "60").out == genera("sample", tiny_run, *SHORT).out


# items from files and standard input


@pytest.mark.parametrize("command", ["reconstruct", "encode"])
def test_items_from_a_file_and_from_standard_input(tiny_run, tmp_path, command):
    file = tmp_path / "items.txt"
    file.write_text("\n".join([*SENTENCES, ""]))
    given = genera(command, tiny_run, *SENTENCES, "--json")
    assert genera(command, tiny_run, "--input", file, "--json").json == given.json
    assert genera(command, tiny_run, "--input", "-", "--json", typed=file.read_text()).json == given.json
    pages = tmp_path / "items.txt.gz"
    pages.write_bytes(gzip.compress("\r\n".join(SENTENCES).encode()))
    assert genera(command, tiny_run, "--input", pages, "--json").json == given.json


@pytest.mark.parametrize("command", ["reconstruct", "encode --json", "respond"])
def test_a_blank_line_is_refused_with_its_number(tiny_run, tmp_path, command):
    """Output i belongs to line i."""
    file = tmp_path / "items.txt"
    for text, number in (("\na\n", 1), ("a\n  \nb\n", 2), ("a\nb\n\n", 3)):
        file.write_text(text)
        name, *options = command.split()
        for given, where in ((file, file), ("-", "standard input")):
            failed = genera(name, tiny_run, "--input", given, *options, typed=text)
            assert failed.error == (
                f"{where}:{number} is blank; output i belongs to line i, so fill in the line or remove it."
            )


def test_only_line_feeds_end_lines(tiny_run, tmp_path):
    """str.splitlines() also splits at form feeds and other separators, which would shift the rows."""
    file = tmp_path / "items.txt"
    file.write_text("a\x0bcat\x1c\u2028sat\na dog\n")
    assert len(genera("encode", tiny_run, "--input", file, "--json").json) == 2


def test_a_pipe_of_real_processes(tiny_run):
    words = [sys.executable, "-m", "genera"]
    first = subprocess.run([*words, "sample", tiny_run, "--count", "2", *SHORT], capture_output=True, text=True)
    assert first.stderr == ""
    piped = [*words, "reconstruct", tiny_run, "--input", "-", "--json", *SHORT]
    second = subprocess.run(piped, input="a cat\na dog\n", capture_output=True, text=True)
    assert second.stderr == ""
    assert [row["input"] for row in json.loads(second.stdout)] == ["a cat", "a dog"]


def test_special_tokens_in_a_sentence_are_text(tiny_run):
    text = "the <EOS> of [SEP] and <PAD> and [CLS] ."
    (row,) = genera("reconstruct", tiny_run, text, "--json").json
    assert row["input"] == text
    assert genera("encode", tiny_run, text, "--json").json[0]["mean"] != pytest.approx(
        genera("encode", tiny_run, "the of and and .", "--json").json[0]["mean"]
    )


# encode


def test_latents_go_to_a_file(tiny_run, tmp_path):
    out = tmp_path / "new" / "latents.npz"
    done = genera("encode", tiny_run, *SENTENCES, "--out", out)
    assert (done.code, done.out) == (0, "")
    latents = np.load(out, allow_pickle=False)
    shown = genera("encode", tiny_run, *SENTENCES, "--json").json
    assert latents["items"].tolist() == SENTENCES == [row["item"] for row in shown]
    np.testing.assert_allclose(latents["mean"], [row["mean"] for row in shown])
    np.testing.assert_allclose(latents["log_variance"], [row["log_variance"] for row in shown])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "RUN", "a"], "give an output for the latents: --out FILE.npz, or --json"),
        (["encode", "RUN", "a", "--out", "z.txt"], "--out z.txt must end in .npz."),
        (["reconstruct", "RUN"], "give sentences either on the command line or with --input FILE"),
        (["reconstruct", "RUN", "a", "--input", "-"], "either on the command line or with --input FILE"),
        (["interpolate", "RUN", "a", "b", "--steps", "0"], "at least 1 step, got 0"),
        (["sample", "RUN", "--count", "0"], "the number of samples must be at least 1, got 0"),
        (["sample", "RUN", "--checkpoint", "61"], "no checkpoint '61'; choose one of the steps 60"),
        (["sample", "RUN", "--device", "tpu"], "unknown device 'tpu'; use auto, cpu, cuda"),
    ],
)
def test_what_cannot_be_done_is_said(tiny_run, words, message):
    assert message in genera(*[tiny_run if word == "RUN" else word for word in words]).error


def test_a_method_without_a_latent_says_who_has_one(tmp_path):
    words = "train gpt2-lm:nano --data world:captions-small --limit 300 --steps 2 --batch-size 8 --vocabulary 400"
    assert genera(*words.split(), "--out", tmp_path / "lm").code == 0
    failed = genera("interpolate", tmp_path / "lm", "a", "b")
    assert failed.error.startswith("gpt2-lm cannot encode; methods that can: optimus")
    assert len(genera("sample", tmp_path / "lm", "--count", "2", "--json").json) == 2


def test_a_run_folder_is_portable(tiny_run, tmp_path):
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(tiny_run, moved)
    for command, words in USES.items():
        assert genera(command, moved, *words, *SHORT).out == genera(command, tiny_run, *words, *SHORT).out
