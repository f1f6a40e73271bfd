"""Bad input, through the command line: one clear sentence each, a non-zero exit, and nothing lost or changed."""

import gzip
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands import QUICK, TINY, contents, genera
from genera.engine import checkpoint
from storage import fill, read_only, small_disk

LONG = "word " * 10_000
SMALL = "--limit 300 --steps 2 --batch-size 8 --vocabulary 400 --validate-every 0"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Path()


@pytest.fixture
def run(tiny_run, here):
    """A trained run in the working folder, under the name `run`."""
    shutil.copytree(tiny_run, "run")
    return Path("run")


def refused(*words, typed=""):
    """The sentence with which `genera WORDS` ends; asserts that it failed with exactly one."""
    failed = genera(*words, typed=typed)
    assert failed.out == ""
    return failed.error


# training data

FILES = {
    "empty.txt": b"",
    "blank.txt": b"\n \n\n",
    "latin.txt": "a cat\ncaf\xe9 au lait\n".encode("latin1"),
    "nul.bin": bytes(range(256)),
    "few.txt": b"a cat .\nthe dog .\n",
    "long.txt": LONG.encode() + b"\n",
    "cut.txt.gz": gzip.compress(b"a cat sleeps .\n" * 999)[:-20],
    "plain.txt.gz": b"a cat\n",
    "broken.jsonl": b'{"text": "a cat", "mood": "good"}\n{"text": \n',
    "nolabel.jsonl": b'{"text": "a cat", "mood": "good"}\n{"text": "a dog"}\n',
    "empty_label.tsv": b"text\tmood\na cat\tgood\na dog\t\n",
    "number.jsonl": b'{"text": 5}\n',
}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("--data text:empty.txt", "empty.txt is empty; one text per line was expected"),
        ("--data text:blank.txt", "has only empty lines; one text per line was expected"),
        ("--data text:latin.txt", "latin.txt:2 is not UTF-8; convert the file"),
        ("--data text:nul.bin", "nul.bin:2 is not UTF-8; convert the file"),
        ("--data text:few.txt", "fewer than one batch of 8; use a batch size of at most"),
        ("--data text:long.txt", "all texts of text:long.txt have more than 40 words (text 1 has"),
        ("--data text:cut.txt.gz", "cut.txt.gz is damaged or truncated after line"),
        ("--data text:plain.txt.gz", "plain.txt.gz is not a gzip file; remove .gz"),
        ("--data text:nowhere/corpus.txt", "nowhere/corpus.txt does not exist; check the path"),
        ("--data text:empty.text", "unknown file in .: 'empty.text'; did you mean empty.txt"),
        ("--data text:*.csv", "no file matches *.csv; check the pattern"),
        ("--data jsonl:broken.jsonl", "broken.jsonl:2 is not JSON"),
        ("--data jsonl:number.jsonl", "number.jsonl:1: the field 'text' is not a string"),
        ("--data jsonl:nolabel.jsonl --label-column mood", "unknown field at nolabel.jsonl:2: 'mood'; known: text"),
        ("--data tsv:empty_label.tsv --label-column mood --text-column text", "empty_label.tsv:3 has no label"),
        ("--data tsv:empty_label.tsv --label-column moud", "'moud'; did you mean mood"),
        ("--data tsv:empty_label.tsv --label-column 7", "has 2 columns; column 7 (counting from 0) does not exist"),
        ("--data text:few.txt --label-column 1", "a text: source has no labels; use tsv: or jsonl:"),
        ("--data world:captions-small --label-column mood", "a world: source has no columns and no labels"),
        ("--data txt:few.txt", "unknown data scheme 'txt'; did you mean text?"),
        ("--data few.txt", "'few.txt' is not a data source; write one of text:PATH"),
        ("--data world:captoins", "unknown world 'captoins'; did you mean captions"),
        ("--data world:captions-small --encoder-tokeniser nowhere", "the tokeniser 'nowhere'"),
        ("--data world:captions-small --encoder-tokeniser ./nowhere", "./nowhere is not a directory"),
    ],
)
def test_training_data(here, monkeypatch, data, named):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, content in FILES.items():
        (here / name).write_bytes(content)
    message = refused("train", "optimus:nano", *data.split(), *SMALL.split(), "--out", "run")
    assert named in message
    assert all((here / name).read_bytes() == content for name, content in FILES.items())
    assert not Path("run", "checkpoints").exists()
    # and the corrected command is not held up by what the first one left
    corrected = genera("train", "optimus:nano", "--data", "world:captions-small", *SMALL.split(), "--out", "run")
    assert corrected.code == 0, corrected.err


def test_long_and_empty_texts_are_dropped_and_counted_and_special_tokens_are_text(here):
    lines = [f"the {word} <EOS> [SEP] <PAD> [CLS] of number {n}" for n in range(150) for word in ("cat", "dog")]
    noise = "".join(random.Random(0).choices("abcdefghij", k=2_000))
    (here / "mixed.txt").write_text("\n".join([*lines, LONG, "", noise]))
    words = ("--data", "text:mixed.txt", "--out", "run", *SMALL.replace("--limit 300", "").split())
    trained = genera("train", "optimus:nano", *words)
    assert trained.code == 0, trained.err
    assert "dropped 1 empty, 1 over 40 words, 1 over 100 tokens" in trained.err
    (row,) = genera("reconstruct", "run", lines[0], "--json").json
    assert row["input"] == lines[0]


# names and values

VALUES = [
    ("sampel", "unknown command 'sampel'; did you mean sample?"),
    ("train optimsu --out x", "unknown method 'optimsu'; did you mean optimus?"),
    ("train optimus:nona --out x", "unknown preset of optimus 'nona'; did you mean nano?"),
    ("train optimus:nano --out x --steps 0", "the budget must be above 0"),
    ("train optimus:nano --out x --epochs inf", "--epochs must be a finite number, got inf"),
    ("train optimus:nano --out x --steps 3 --minutes 1", "exactly one budget of --steps, --epochs, --minutes"),
    ("train optimus:nano --out x --batch-size 0", "--batch-size must be at least 1, got 0"),
    ("train optimus:nano --out x --accumulate 7", "--batch-size 64 must be a multiple of --accumulate 7"),
    ("train optimus:nano --out x --seed -1", "--seed must lie in [0, 2^32), got -1"),
    ("train optimus:nano --out x --ema 1", "--ema must lie in [0, 1), got 1.0"),
    ("train optimus:nano --out x --lr nan", "--lr must be a finite number, got nan"),
    (
        "train optimus:nano --out x --lr 1e400 --bucket-noise=nan",
        "--lr must be a finite number, got 1e400; --bucket-noise must",
    ),
    ("train optimus:nano --out x --lr 1e30", "--lr must be at most 1000, got 1e+30"),
    ("train biggan:nano --out x --d-lr 1e4", "--d-lr must be at most 1000, got 10000"),
    ("sample optimus-mini --temperature inf", "--temperature must be a finite number, got inf"),
    ("train optimus:nano --out x --encoder.heads 3", "hidden size 64 does not split into 3 heads"),
    ("train optimus:nano --out x --vocabulary 7", "--vocabulary must be at least"),
    ("train optimus:nano --out x --device tpu", "unknown device 'tpu'; use auto, cpu"),
    ("evaluate run --likelihood.samples 0", "--likelihood.samples must be at least 1, got 0"),
    (
        "evaluate run --latent.items 0 --interpolation.pairs 0",
        "--latent.items must be at least 1, got 0; --interpolation.pairs must be at least 1, got 0",
    ),
    ("evaluate run --measures likelyhood", "unknown evaluator 'likelyhood'; did you mean likelihood"),
    ("evaluate run --data world:captoins", "unknown world 'captoins'; did you mean captions"),
    ("evaluate run --data text:nowhere/corpus.txt", "nowhere/corpus.txt does not exist"),
    ("sample run --temperature -1", "temperature is -1.0; it must be 0 (greedy) or a positive number"),
    ("sample run --top-p 0", "top_p is 0.0; it must be a probability, 0 < top_p <= 1"),
    ("sample run --top-k -1", "top_k is -1; it must be 0 (all tokens) or a positive number"),
    ("sample run --max-tokens 0", "max_tokens is 0; it must be at least 1"),
    ("sample run --count 0", "the number of samples must be at least 1, got 0"),
    ("sample run --checkpoint latest", "has no checkpoint 'latest'; choose one of the steps 60"),
    ("sample run --checkpoint previous", "has only one checkpoint, step-00000060, and no previous one"),
    (
        "sample nowhere",
        "nowhere is not a run folder (no config.yaml); `genera train METHOD:PRESET --out nowhere` creates",
    ),
    ("reconstruct run", "give sentences either on the command line or with --input FILE"),
    ("reconstruct run --input nowhere.txt", "cannot read nowhere.txt: No such file or directory"),
    ("reconstruct run --input latin.txt", "latin.txt:2 is not UTF-8; convert the file"),
    ("reconstruct run --input empty.txt", "empty.txt contains no sentences; expected one per line"),
    ("reconstruct run --input .", "cannot read .: Is a directory"),
    ("interpolate run a b --steps 0", "the number of steps must be at least 1, got 0"),
    ("encode run a --out latents.npy", "--out latents.npy must end in .npz"),
    ("encode run a --out config.npz/z.npz", "cannot write config.npz/z.npz: "),
    ("compare run", "give at least two run folders"),
    ("compare run run", "has no measures to compare; run: genera evaluate run"),
    ("report nowhere", "nowhere is not a run folder"),
]


@pytest.mark.parametrize(("words", "named"), VALUES)
def test_names_and_values(run, words, named):
    for name in ("latin.txt", "empty.txt"):
        Path(name).write_bytes(FILES[name])
    Path("config.npz").write_bytes(b"not a folder")
    before = contents(run)
    assert named in refused(*words.split())
    assert contents(run) == before
    assert not Path("x", "checkpoints").exists()


@pytest.mark.parametrize("sentence", ["", "  ", LONG, "x" * 10_000])
@pytest.mark.parametrize("command", ["reconstruct", "encode --json", "interpolate", "analogy"])
def test_sentences(run, sentence, command):
    name, *options = command.split()
    others = {"interpolate": ["a cat"], "analogy": ["a cat", "a dog"]}.get(name, [])
    message = refused(name, "run", sentence, *others, *options)
    if sentence.strip():
        assert f"sentence 1, {sentence[:40]!r}…, has " in message
        assert "this model reads at most" in message
        assert len(message) < 200
    else:
        assert "sentence 1 is empty; give it at least one word" in message


def test_standard_input_that_is_not_text(run):
    words = [sys.executable, "-m", "genera", "reconstruct", "run", "--input", "-"]
    failed = subprocess.run(words, input=FILES["latin.txt"], capture_output=True)
    assert failed.returncode == 1
    assert failed.stderr.decode() == (
        "error: standard input:2 is not UTF-8; convert the file, for example with: iconv -f LATIN1 -t UTF-8.\n"
    )


def test_words_that_are_not_text(run):
    message = refused("reconstruct", "run", "a cat", os.fsdecode(b"caf\xe9"))
    assert message == r"the argument 'caf\udce9' is not UTF-8; write it in UTF-8, or rename the file."


# run folders


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(text):
    return lambda path: path.write_text(text)


LAST = "checkpoints/step-00000060"
USE, EVALUATE, REPORT, TRAIN = "sample run", f"evaluate run {QUICK}", "report run", f"{TINY} --out run"
DAMAGE = [
    (f"{LAST}/weights.safetensors", cut, (USE, EVALUATE), "weights.safetensors is damaged ("),
    (f"{LAST}/weights.safetensors", flip, (USE, EVALUATE), "weights.safetensors is damaged (its checksum"),
    (
        f"{LAST}/weights.safetensors",
        Path.unlink,
        (USE,),
        "weights.safetensors is missing; resume from the previous one",
    ),
    (f"{LAST}/state.json", cut, (USE,), "state.json is not readable as JSON"),
    (f"{LAST}/state.json", replace("{}"), (USE,), "state.json is damaged"),
    (f"{LAST}/state.json", replace("[]"), (USE,), "state.json is damaged"),
    (f"{LAST}/state.json", Path.unlink, (USE,), "run has no checkpoint yet"),
    ("config.yaml", replace("{"), (USE, EVALUATE, REPORT, TRAIN), "config.yaml is not readable as YAML"),
    ("config.yaml", replace("- a list"), (USE, EVALUATE, REPORT, TRAIN), "config.yaml"),
    ("config.yaml", replace("method: optimus"), (USE, TRAIN), "config.yaml is not a genera run configuration"),
    ("config.yaml", Path.unlink, (USE, EVALUATE, REPORT), "run is not a run folder (no config.yaml)"),
    ("config.yaml", Path.unlink, (TRAIN,), "run holds the remains of a run without its config.yaml"),
    ("status.json", replace("{"), (REPORT, TRAIN), "status.json is not readable as JSON"),
    ("status.json", replace("[1]"), (REPORT, TRAIN), "status.json is damaged"),
    ("metrics.jsonl", replace('{"step": 1}\nnonsense\n{"step": 2}\n'), (REPORT,), "metrics.jsonl:2 is damaged"),
    ("metrics.jsonl", replace("[1, 2]\n"), (REPORT,), "metrics.jsonl:1 is damaged"),
    ("evaluation.json", replace("[]"), (REPORT,), "evaluation.json is damaged"),
    ("evaluation.json", replace("{"), (REPORT, "compare run run"), "evaluation.json is not readable as JSON"),
    ("assets/decoder/tokenizer.json", cut, (USE,), "the tokeniser in run/assets/decoder is not readable"),
    ("assets/decoder/tokenizer.json", Path.unlink, (USE,), "run/assets/decoder has no BPE tokeniser"),
]


@pytest.mark.parametrize(("file", "damage", "commands", "named"), DAMAGE)
def test_damaged_run_folders(run, file, damage, commands, named):
    damage(run / file)
    before = contents(run)
    for command in commands:
        assert named in refused(*command.split())
        assert contents(run) == before


def test_damaged_metrics_stop_a_run_that_goes_on(run):
    (run / "metrics.jsonl").write_text('nonsense\n{"step": 60}\n')
    (run / "status.json").unlink()
    assert "metrics.jsonl:1 is damaged (no JSON object with a step); delete that line" in refused(*TRAIN.split())
    assert (run / "metrics.jsonl").read_text() == 'nonsense\n{"step": 60}\n'


def test_a_checkpoint_of_another_size_or_method(run):
    other = TINY.replace("optimus:nano", "optimus:nano --latent-size 5").replace("60", "1")
    lm = TINY.replace("optimus:nano", "gpt2-lm:nano").replace("60", "1")
    for words, out, named in ((other, "five", "to_posterior"), (lm, "lm", "is not part of this method; ")):
        assert genera(*words.split(), "--out", out).code == 0
        (mixed,) = Path(out, "checkpoints").iterdir()
        shutil.rmtree(run / LAST)
        shutil.copytree(mixed, run / LAST)
        before = contents(run)
        message = refused("sample", "run")
        assert f"{LAST} is of another method or size: " in message
        assert named in message
        assert len(message) < 500
        assert contents(run) == before


def test_the_one_before_a_damaged_checkpoint(here):
    """Ask for it, and training arrives at the weights of a run without damage."""
    words = [*TINY.replace("60", "12").split(), "--checkpoint-every", "5"]
    for out in ("whole", "run"):
        assert genera(*words, "--out", out).code == 0
    last = checkpoint.pick(Path("run/checkpoints"))
    cut(last / "training.safetensors")
    cut(last / "weights.safetensors")
    assert "--checkpoint previous" in refused("sample", "run")
    assert genera("sample", "run", "--count", "1", "--checkpoint", "previous").code == 0
    assert genera(*words, "--out", "run", "--resume", "previous").code == 0
    for file in ("weights", "training"):
        name = f"checkpoints/{last.name}/{file}.safetensors"
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()


def test_a_run_folder_that_moved(run, here):
    shown = genera("sample", "run", "--count", "1").out
    Path("deeper/down").mkdir(parents=True)
    run.rename("deeper/down/moved")
    assert genera("sample", "deeper/down/moved", "--count", "1").out == shown
    assert "already trained" in genera(*TINY.split(), "--out", "deeper/down/moved").err


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_file_where_a_run_should_be(here, out):
    Path("file").write_text("precious")
    message = refused(*TINY.split(), "--out", out)
    assert f"{out} is a file; a run needs a folder" in message or f"cannot write in {out}: Not a directory" in message
    assert Path("file").read_text() == "precious"


# disks


def test_a_read_only_folder_can_be_used_and_not_written(run):
    before = contents(run)
    with read_only(run):
        assert genera("sample", "run", "--count", "1").code == 0
        assert "cannot write in run: " in refused(*TRAIN.split())
        assert "run is read-only; make it writable, or work on a copy" in refused(*EVALUATE.split())
        assert "cannot write run/report.html: " in refused("report", "run")
    assert contents(run) == before


def test_a_full_disk(tiny_run, here):
    """Nothing that was there is lost, and with room again the same commands go on."""
    words = [*TINY.replace("60", "12").split(), "--checkpoint-every", "5"]
    assert genera(*words, "--out", "whole").code == 0
    with small_disk(here / "disk", "24m"):
        run = Path("disk/run")
        shutil.copytree(tiny_run, "disk/done")
        filler = fill(Path("disk"), 4 * 2**20)  # for one checkpoint and not for two
        assert "No space left on device" in refused(*words, "--out", run)
        kept = checkpoint.list_checkpoints(run / "checkpoints")
        assert len(kept) == 1
        assert not list((run / "checkpoints").glob(".*"))
        assert genera("sample", run, "--count", "1").code == 0
        rest = fill(Path("disk"))
        before = contents(Path("disk/done"))
        for command in (f"evaluate disk/done {QUICK}", "report disk/done"):
            message = refused(*command.split())
            assert "cannot write disk/done/" in message
            assert "No space left on device; nothing there was changed" in message
        assert contents(Path("disk/done")) == before
        rest.unlink()
        filler.unlink()
        assert genera(*words, "--out", run).code == 0
        name = f"checkpoints/{kept[0].name[:5]}00000012/weights.safetensors"
        assert (run / name).read_bytes() == Path("whole", name).read_bytes()


# two at once


def test_two_processes_on_one_run_folder(run):
    hold = (
        "import sys; from genera.engine.folder import RunFolder\n"
        "with RunFolder('run').lock(): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", hold], stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        before = contents(run)
        assert f"run is being written by another process (pid {holder.pid} on " in refused(*TRAIN.split())
        assert contents(run) == before
        assert genera("sample", "run", "--count", "1").code == 0  # to read is free
        holder.stdin.close()
    assert genera(*TRAIN.split()).code == 0


def test_the_exit_code_and_the_sentence_of_the_real_command(run):
    """As a shell sees it: the sentence alone on stderr, nothing on stdout, exit 1."""
    failed = subprocess.run([sys.executable, "-m", "genera", "sample", "nowhere"], capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: nowhere is not a run folder")
    assert failed.stderr.count("\n") == 1
