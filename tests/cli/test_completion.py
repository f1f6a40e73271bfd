"""Completion scripts, and what they ask for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands import genera
from genera.cli.completion import SCRIPTS, candidates
from genera.cli.main import COMMANDS


def test_commands_presets_options_and_shipped_models_are_completed():
    assert set(COMMANDS) <= set(candidates(["tr"]))
    assert "biggan:nano-fq" in candidates(["train", "big"])
    assert {"--steps", "--quantiser.codes", "--no-flip"} <= set(candidates(["train", "biggan:nano-fq", "--"]))
    assert "--temperature" in candidates(["sample", "runs/mine", "--te"])
    assert "optimus-mini" in candidates(["sample", ""])
    assert candidates(["no-such-command", "-"]) == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_can_be_completed(command):
    assert isinstance(candidates([command, "--"]), list)


def test_bash_completes(tmp_path):
    bash = shutil.which("bash")
    if not bash:
        pytest.skip("bash is not installed")
    script = tmp_path / "complete.sh"
    script.write_text(genera("completion", "bash").out)
    launcher = tmp_path / "genera"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m genera "$@"\n')
    launcher.chmod(0o755)
    words = "COMP_WORDS=(genera train optimus:nano --free-bits-); COMP_CWORD=3"
    asked = f'source {script}; {words}; _genera; echo "${{COMPREPLY[@]}}"'
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"], str(Path(sys.executable).parent)])
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.stdout.split() == ["--free-bits-over"], done.stderr


def test_every_shell_has_a_script():
    for shell in SCRIPTS:
        assert "genera completion --words" in genera("completion", shell).out
