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
from genera.errors import GeneraError

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


def test_latents_from_a_file_are_decoded(tiny_run, tmp_path):
    out = tmp_path / "latents.npz"
    assert genera("encode", tiny_run, *SENTENCES, "--out", out).code == 0
    decoded = genera("decode", tiny_run, out, *SHORT)
    assert (decoded.code, decoded.err) == (0, "")
    assert decoded.out == genera("reconstruct", tiny_run, *SENTENCES, *SHORT).out
    assert genera("decode", tiny_run, out, *SHORT, "--json").json == decoded.out.splitlines()
    run = library.load(tiny_run)
    posterior = run.encode(SENTENCES)
    given = [out, str(out), np.load(out), dict(np.load(out)), posterior, posterior.mean, posterior.mean.double()]
    given += [posterior.mean.numpy(), posterior.mean.tolist(), np.load(out)["mean"].astype(np.float64)]
    for latents in given:
        assert run.decode(latents, max_tokens=6) == decoded.out.splitlines()


def test_beam_search_on_the_command_line(tiny_run, tmp_path):
    run = library.load(tiny_run)
    for command in ("reconstruct", "interpolate", "sample"):
        searched = genera(command, tiny_run, *USES[command], *SHORT, "--beams", "4", "--length-penalty", "0.5")
        assert (searched.code, searched.err) == (0, "")
    expected = run.reconstruct(SENTENCES, max_tokens=6, beams=4)
    assert genera("reconstruct", tiny_run, *SENTENCES, *SHORT, "--beams", "4").out.splitlines() == expected
    assert run.reconstruct(SENTENCES, max_tokens=6, beams=1) == run.reconstruct(SENTENCES, max_tokens=6)
    refused = genera("sample", tiny_run, "--beams", "4", "--temperature", "1")
    assert "beam search (beams 4) does not sample" in refused.error


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mean": np.zeros((0, 32))}, "are empty; give at least one row"),
        ({"mean": np.full((2, 32), np.nan)}, "row 0 of 2 has a NaN or infinity"),
        ({"mean": np.zeros((2, 5))}, "must have the shape (items, 32), got (2, 5)"),
        ({"mean": np.array([["a"] * 32])}, "must be numbers"),
        ({"other": np.zeros((2, 32))}, "has no array `mean`"),
    ],
)
def test_latents_that_cannot_be_decoded(tiny_run, tmp_path, arrays, message):
    np.savez(tmp_path / "z.npz", **arrays)
    assert message in genera("decode", tiny_run, tmp_path / "z.npz").error


def test_files_that_are_no_latents(tiny_run, tmp_path):
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "one.npy", np.zeros((2, 32)))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    for name in ("text.npz", "cut.npz"):
        assert "is not a readable .npz of plain arrays" in genera("decode", tiny_run, tmp_path / name).error
    assert "it is one .npy array; save it with np.savez" in genera("decode", tiny_run, tmp_path / "one.npy").error
    assert "cannot read" in genera("decode", tiny_run, tmp_path / "missing.npz").error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.decode(None), "must be numbers"),
        (lambda run: run.decode("no such file.npz"), "cannot read no such file.npz"),
        (lambda run: run.decode({"z": 1}), r"need an array `mean`"),
        (lambda run: run.decode([[float("inf")] * 32]), "must be finite; row 0 of 1"),
        (lambda run: run.encode(None), "expected a list of at least one item, got None"),
        (lambda run: run.encode(5), "expected a list of at least one item, got a int"),
        (lambda run: run.score([1]), "expects sentences, got a int"),
        (lambda run: run.interpolate("a", 3), "expects sentences, got a int"),
        (lambda run: run.interpolate("a", "b", steps="3"), "the number of steps must be a whole number, got '3'"),
        (lambda run: run.sample(2.5), "the number of samples must be a whole number, got 2.5"),
        (lambda run: run.sample(1, seed="x"), "the seed must be a whole number, got 'x'"),
        (lambda run: run.sample(1, temperature="hot"), "temperature must be a number, got 'hot'"),
        (lambda run: run.sample(1, beams=2.0), "beams must be a whole number, got 2.0"),
        (lambda run: run.analogy("a", "b", "c", degree="1"), "the degree must be a finite number, got '1'"),
        (lambda run: run.guide("a", "3"), "the number of items must be a whole number, got '3'"),
        (lambda run: run.walk(3), "a walk needs a list of at least two seeds, got 3"),
        (lambda run: run.walk(["a", "b"]), "the seed must be a whole number, got 'a'"),
    ],
)
def test_python_calls_with_the_wrong_types_are_one_sentence(tiny_run, call, message):
    with pytest.raises(GeneraError, match=message):
        call(library.load(tiny_run))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "RUN", "a"], "give an output for the latents: --out FILE.npz, or --json"),
        (["encode", "RUN", "a", "--out", "z.txt"], "--out z.txt must end in .npz."),
        (["reconstruct", "RUN"], "give sentences either on the command line or with --input FILE"),
        (["reconstruct", "RUN", "a", "--input", "-"], "either on the command line or with --input FILE"),
        (["interpolate", "RUN", "a", "b", "--steps", "0"], "the number of steps must be at least 1, got 0"),
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
