"""The commands themselves: help, lists, exit codes, and what starting costs."""

import json
import subprocess
import sys

import pytest

from commands import genera
from genera import __version__, worlds
from genera.cli import main as entry
from genera.cli.main import COMMANDS
from genera.data.registry import schemes
from genera.engine import registry
from genera.evaluation.registry import evaluators

ARGUMENTS = {
    "completion": ["bash,zsh,fish"],
    "demo": ["--out"],
    "list": ["--json"],
    "new": ["method", "--out", "--json"],
    "verify": ["PATH", "--json"],
    "tokenise": ["METHOD", "--data", "--workers", "RANK"],
    "train": ["METHOD", "--out", "--data", "--dry-run", "genera list"],
    "evaluate": ["PATH", "--likelihood.samples", "--measures", "--json", "--checkpoint"],
    "measure": ["PATH", "--features", "--size", "--json"],
    "report": ["PATH", "--evaluation", "--figures", "--json"],
    "compare": ["PATH", "--out", "--json", "--markdown", "--only", "--figures"],
    "ablate": ["VARIANT", "--out", "--seeds", "--evaluate.", "genera train"],
    "sample": ["PATH", "--count", "--temperature", "--seed", "--json"],
    "score": ["PATH PATH", "--last-word", "--samples", "--json"],
    "reconstruct": ["PATH", "STR", "--input", "--json"],
    "encode": ["PATH", "STR", "--input", "--out", "--json"],
    "decode": ["PATH PATH", "--beams", "--seed", "--json"],
    "interpolate": ["PATH", "STR STR", "--steps", "--json"],
    "analogy": ["PATH", "STR STR STR", "--degree", "--json"],
    "guide": ["PATH", "--label", "--factor", "--method", "--score", "--count", "--json"],
    "respond": ["PATH", "STR", "--input", "--count", "--temperature", "--json"],
    "chat": ["PATH", "--temperature", "--seed", "--json"],
    "probe": ["PATH", "--label-column", "--factor", "--shots", "--against", "--json"],
    "walk": ["PATH", "--seeds", "--steps", "--out", "--classes", "--truncation", "--json"],
    "mix": ["PATH", "--coarse", "--fine", "--layer", "--out", "--json"],
    "translate": ["PATH", "--out", "--direction", "--attention"],
    "describe": ["PATH", "STR", "--scan", "--heading", "--input", "--temperature", "--json"],
    "navigate": ["check", "baseline", "score"],
    "import": ["METHOD", "SOURCE", "--out", "--encoder", "--decoder"],
    "export": ["PATH", "--out", "--checkpoint", "--json"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    shown = genera(command, "--help")
    assert shown.code == 0
    for argument in ARGUMENTS[command]:
        assert argument in shown.out
    assert shown.err == ""


def test_every_field_of_a_preset_is_an_option_with_help():
    shown = " ".join(genera("train", "optimus:nano", "--help").out.split())
    for option in ("--data", "--steps", "--precision {fp32,bf16,fp16}", "--beta ", "--encoder.hidden", "--resume"):
        assert option in shown
    assert "(required)" not in shown


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_overview_names_every_command(words):
    shown = genera(*words)
    assert shown.code == 0
    for name, summary in COMMANDS.items():
        assert f"  {name:<12} {summary}" in shown.out


def test_version():
    assert genera("--version").out == f"genera {__version__}\n"


def test_list_has_everything_that_can_be_named():
    table, found = genera("list"), genera("list", "--json").json
    assert [method["name"] for method in found["methods"]] == sorted(registry.entries())
    assert set(found["sources"]) == set(schemes())
    assert list(found["worlds"]) == list(worlds.names())
    assert list(found["evaluators"]) == list(evaluators())
    assert "  likelihood " in table.out
    for method in found["methods"]:
        assert set(method["presets"]) == set(registry.entry(method["name"]).presets)
        assert all(f"{method['name']}:{preset} " in table.out for preset in method["presets"])
    assert (table.code, table.err) == (0, "")


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


HEAVY = ("torch", "scipy", "sklearn", "matplotlib", "tokenizers", "transformers")


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["list"], ["list", "--json"], ["train", "--help"]])
def test_starting_is_light(words):
    code = (
        f"import sys; sys.argv = ['genera', *{words}]\n"
        "from genera.cli.main import main\n"
        "main()\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    assert python("-c", code).stderr == "[]\n"


@pytest.mark.parametrize(
    "words", [["train", "optimus:nano", "--help"], ["sample", "--help"], ["import", "optimus", "--help"]]
)
def test_help_imports_no_torch(words):
    code = (
        f"import sys; sys.argv = ['genera', *{words}]\n"
        "from genera.cli.main import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    assert python("-c", code).stderr == "False\n"


def test_runs_as_a_module():
    done = python("-m", "genera", "list", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["methods"]
    failed = python("-m", "genera", "lst")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "error: unknown command 'lst'; did you mean list?\n"


@pytest.mark.parametrize("words", [["list", "--json"], ["--help"], ["--quiet", "--version"], ["train", "--help"]])
def test_a_reader_that_leaves_early_is_no_error(words):
    """`genera list | head -1`"""
    words = [sys.executable, "-m", "genera", *words]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 141


def test_an_interrupted_command_exits_as_the_shell_expects(monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.importlib, "import_module", interrupted)
    assert genera("list").code == 130


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["sample"], "Missing"),
        (["sample", "run", "--cuont", "3"], "--count INT"),
        (["sample", "run", "--count", "many"], "Error parsing --count: a whole number is expected, got 'many'"),
        (["evaluate", "run", "--split", "dev"], "invalid choice 'dev'"),
        (["list", "everything"], "Unrecognized options: everything"),
        (["train", "optimus:nano", "--precision", "fp8"], "invalid choice 'fp8'"),
        (["train", "optimus:nano", "--bach-size", "8"], "--batch-size INT"),
    ],
)
def test_a_line_that_cannot_be_parsed_is_said_once(words, named):
    failed = genera(*words)
    assert failed.code == 2
    assert failed.out == ""
    assert named in failed.err
    assert failed.err.count("For full helptext") == 1
    assert f"genera {words[0]}" in failed.err


def test_only_one_rank_speaks(tmp_path):
    """All ranks find the same mistake; the one sentence is the main rank's."""
    words = ["train", "optimus:nano", "--data", "text:nowhere.txt", "--out", str(tmp_path / "run")]
    done = python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "genera", *words)
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if "error: " in line] == [
        "error: nowhere.txt does not exist; check the path."
    ]


def test_another_rank_speaks_when_the_main_one_is_silent(monkeypatch):
    waited = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("time.sleep", waited.append)
    assert genera("lst").error == "unknown command 'lst'; did you mean list?"
    assert waited[0] > 1
