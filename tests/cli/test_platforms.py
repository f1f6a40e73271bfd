"""Commands on systems without POSIX: every module can be imported, and a run trains, without the modules and signals
that Windows lacks."""

import subprocess
import sys

import genera

ABSENT = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "crypt", "spwd", "nis")
PREPARE = f"""
import os, signal, sys
import torch.distributed.checkpoint, torch._dynamo, scipy.stats, huggingface_hub, tyro, rich.live, sacrebleu  # they
import sklearn.manifold  # ask sys.platform what to import
for name in {ABSENT}:
    sys.modules[name] = None
for name in ("SIGHUP", "SIGPIPE", "SIGKILL", "SIGUSR1", "SIGALRM"):
    delattr(signal, name)
for name in ("fork", "killpg", "getuid", "geteuid", "getpgid", "setsid", "sysconf", "mkfifo", "sched_getaffinity"):
    delattr(os, name)
"""


def without_posix(code, *words):
    done = subprocess.run([sys.executable, "-c", PREPARE + code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_every_module_can_be_imported():
    walk = """
import importlib, pkgutil, genera
names = [m.name for m in pkgutil.walk_packages(genera.__path__, "genera.") if "method_template" not in m.name]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    assert int(without_posix(walk).stdout) > 200


def test_the_test_kit_starts_processes_where_none_can_be_forked(tmp_path):
    (tmp_path / "here").touch()
    code = """
from genera.testing import forked
done = forked("genera.cli.main:main", ["--version"], directory=sys.argv[1])
print(done.returncode, done.stdout)
"""
    assert without_posix(code, str(tmp_path)).stdout == f"0 genera {genera.__version__}\n\n"


def test_a_run_trains_and_is_used(tmp_path):
    """With another lock than flock, and without a figure of memory."""
    run = tmp_path / "run"
    words = ["train", "gpt2-lm:nano", "--data", "world:captions-small", "--limit", "300", "--vocabulary", "400",
             "--steps", "3", "--log-every", "1", "--out", str(run)]  # fmt: skip
    code = "from genera.cli.main import main\nmain(sys.argv[1:])"
    without_posix(code, *words)
    assert '"memory_mb"' not in (run / "metrics.jsonl").read_text()
    again = without_posix(code, *words)
    assert "already trained (3 steps)" in again.stderr
    assert without_posix(code, "sample", str(run), "--count", "1").stdout.strip()
    assert genera.load(run).step == 3
