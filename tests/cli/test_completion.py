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


COMPLETES = {
    "bash": "source {script}; COMP_WORDS=({words}); COMP_CWORD=3; _genera; echo ${{COMPREPLY[@]}}",
    "zsh": (
        "compdef() {{}}; compadd() {{ print -l -- ${{(P)2}} }}; source {script}; "
        "words=({words}); CURRENT=4; _genera | grep -- --free-bits-"
    ),
    "fish": "source {script}; complete -C '{words}'",
}
"""shell → what completes the last of {words} after its script was read"""


@pytest.mark.parametrize("shell", COMPLETES)
def test_a_shell_completes(shell, tmp_path):
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "complete"
    script.write_text(genera("completion", shell).out)
    launcher = tmp_path / "genera"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m genera "$@"\n')
    launcher.chmod(0o755)
    asked = COMPLETES[shell].format(script=script, words="genera train optimus:nano --free-bits-")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"], str(Path(sys.executable).parent)])
    done = subprocess.run([program, "-c", asked], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.stdout.split() == ["--free-bits-over"], done.stderr


def test_every_shell_has_a_script():
    for shell in SCRIPTS:
        assert "genera completion --words" in genera("completion", shell).out
