"""The tasks of GLUE (Wang et al. 2019, arXiv 1804.07461) in the TSV layout of its archive: `glue:DIR`.

DIR has the name of the task (CoLA, SST-2, MRPC, …) and contains train.tsv and dev.tsv, plain or .gz. The labels of
test.tsv are not public, so dev is the test split, as in published tables; the validation split is held out of train.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from genera.data.files import Line
from genera.data.text.formats import FileSource, read_tsv
from genera.data.text.items import Source
from genera.errors import GeneraError, unknown


@dataclass(frozen=True)
class Task:
    text: str
    """Column of the sentence, or of the two sentences."""
    label: str


TASKS = {
    "cola": Task("3", "1"),
    "sst2": Task("sentence", "label"),
    "mrpc": Task("#1 String,#2 String", "Quality"),
    "qqp": Task("question1,question2", "is_duplicate"),
    "mnli": Task("sentence1,sentence2", "gold_label"),
    "qnli": Task("question,sentence", "label"),
    "rte": Task("sentence1,sentence2", "label"),
    "wnli": Task("sentence1,sentence2", "label"),
}


def open_glue(spec: str, rest: str, text_column: str | None, label_column: str | None) -> Source:
    """Raises GeneraError for an unknown task, for STS-B (a regression task), and for a folder without the files."""
    if text_column is not None or label_column is not None:
        raise GeneraError("the columns of a glue: source are fixed; omit --text-column and --label-column.")
    folder = Path(rest).expanduser()
    name = re.sub(r"[^a-z0-9]", "", folder.resolve().name.lower())
    if name == "stsb":
        raise GeneraError(f"{spec}: STS-B has scores instead of labels; use another GLUE task.")
    if name not in TASKS:
        raise unknown("task of GLUE", name, TASKS)
    files = [(split, path) for split, part in (("train", "train"), ("test", "dev")) if (path := _file(folder, part))]
    if not files or files[0][0] != "train":
        raise GeneraError(f"{folder} has no train.tsv; {spec} needs the task's folder of the GLUE archive.")
    task = TASKS[name]
    return FileSource(spec, tuple(files), read_glue, task.text, task.label)


def read_glue(
    lines: Iterator[Line], text_column: str | None, label_column: str | None
) -> Iterator[tuple[str, str | None]]:
    """As `read_tsv`, but truncated rows (the published QQP has some) count as empty."""
    first = next(lines)
    width = first.text.count("\t")
    whole = (line if line.text.count("\t") >= width else Line(line.where, "") for line in lines)
    return read_tsv(chain([first], whole), text_column, label_column)


def _file(folder: Path, part: str) -> Path | None:
    """train.tsv, in_domain_train.tsv.gz or dev.tsv; for MNLI the matched one of the two."""
    candidates = sorted(folder.glob(f"*{part}*.tsv*")) if folder.is_dir() else []
    return next((path for path in candidates if "mismatched" not in path.name), None)
