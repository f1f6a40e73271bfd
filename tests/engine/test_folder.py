import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml

import small_methods  # noqa: F401
from genera.engine import registry
from genera.engine.folder import RunFolder
from genera.errors import GeneraError


@pytest.fixture
def config():
    return registry.preset("small-gan:tiny")[1]


def test_config_is_saved_whole(tmp_path, config):
    folder = RunFolder(tmp_path / "run")
    folder.start(config)
    assert RunFolder.existing(tmp_path / "run").config() == config


def test_other_settings_are_refused_by_name(tmp_path, config):
    RunFolder(tmp_path).start(config)
    (tmp_path / "checkpoints" / "step-00000007").mkdir(parents=True)
    other = replace(config, model=replace(config.model, lr=0.5))
    with pytest.raises(GeneraError, match=r"model.lr: 0.01 -> 0.5"):
        RunFolder(tmp_path).start(other)
    with pytest.raises(GeneraError, match="small-gan:tiny -> small-two-stage:tiny"):
        RunFolder(tmp_path).start(registry.preset("small-two-stage:tiny")[1])


def test_before_its_first_checkpoint_a_run_may_be_asked_for_something_else(tmp_path, config):
    RunFolder(tmp_path).start(config)
    RunFolder(tmp_path).write_status("failed", message="the data was misspelt")
    other = replace(config, model=replace(config.model, lr=0.5))
    RunFolder(tmp_path).start(other)
    assert RunFolder(tmp_path).config() == other
    RunFolder(tmp_path).write_status("done")  # its checkpoints may have been deleted to save room
    with pytest.raises(GeneraError, match="other settings"):
        RunFolder(tmp_path).start(config)


def test_a_folder_of_other_things_is_left_alone(tmp_path, config):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(GeneraError, match="not empty and is not a run"):
        RunFolder(tmp_path).start(config)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_no_run_says_how_to_make_one(tmp_path):
    with pytest.raises(GeneraError, match="genera train METHOD:PRESET --out"):
        RunFolder.existing(tmp_path)


@pytest.mark.parametrize("text", ["{", "method: [", "just words", "method: nothing-of-the-kind\npreset: x"])
def test_a_broken_config_is_named(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(GeneraError, match=r"config.yaml"):
        RunFolder.existing(tmp_path).config()


def test_loading_a_config_runs_nothing_in_it(tmp_path, config):
    RunFolder(tmp_path).start(config)
    mark = tmp_path / "ran"
    evil = yaml.safe_load((tmp_path / "config.yaml").read_text())
    evil["preset"] = "PLACEHOLDER"
    text = yaml.safe_dump(evil).replace("PLACEHOLDER", f"!!python/object/apply:os.system ['touch {mark}']")
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(GeneraError, match="not readable as YAML"):
        RunFolder.existing(tmp_path).config()
    assert not mark.exists()


def test_one_writer_at_a_time(tmp_path):
    hold = (
        "import sys; from genera.engine.folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(GeneraError, match=f"another process .pid {other.pid} on"), RunFolder(tmp_path).lock():
        pass
    other.kill()
    other.communicate()
    with RunFolder(tmp_path).lock():  # a killed holder holds nothing
        pass


def test_metrics_survive_a_cut_line_and_rewind(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (1, 2, 3):
        folder.log({"step": step})
    with open(folder.metrics_file, "a") as file:
        file.write('{"step": 4, "lo')
    assert [r["step"] for r in folder.metrics()] == [1, 2, 3]
    folder.rewind_metrics(2)
    assert [json.loads(line)["step"] for line in folder.metrics_file.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("line", ["[1, 2]", '{"loss": 3}', "{", "\xff", '{"step": "one"}'])
def test_a_damaged_line_of_metrics_is_named(tmp_path, line):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_bytes(b'{"step": 1}\n' + line.encode("latin1") + b'\n{"step": 2}\n')
    with pytest.raises(GeneraError, match=r"metrics.jsonl:2 is damaged"):
        folder.metrics()


def test_figures_that_are_not_finite_are_null_in_the_metrics(tmp_path):
    RunFolder(tmp_path).log({"step": 1, "grad_norm": math.inf, "loss": 2.0})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "grad_norm": null, "loss": 2.0}\n'


@pytest.mark.parametrize("text", ["{", "[1]", "{}"])
def test_a_damaged_status_is_named(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(GeneraError, match=r"status.json .* delete it"):
        RunFolder(tmp_path).status()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in read-only folders")
def test_a_read_only_folder_is_named(tmp_path, config):
    tmp_path.chmod(0o500)
    with pytest.raises(GeneraError, match="cannot write"), RunFolder(tmp_path / "run").lock():
        pass
    tmp_path.chmod(0o700)
