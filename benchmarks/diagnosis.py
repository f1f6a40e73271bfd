"""What the diagnosis makes of a gallery of broken and sound models: the table of docs/diagnosis.md.

Images are of Fashion-MNIST where $GENERA_DATA has it. The gallery is in tests/gallery; it runs for a few minutes.
"""

import importlib
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from genera.evaluation.verdict import grades


def main() -> None:
    gallery = importlib.import_module("gallery")
    counted: Counter[tuple[str, str]] = Counter()
    kind = ""
    for specimen in gallery.specimens():
        if specimen.kind != kind:
            kind = specimen.kind
            print(f"\n### {kind}\n\n| model | use | is | verdict | decided by |\n|---|---|---|---|---|")
        with TemporaryDirectory() as folder:
            stored = specimen.evaluate(Path(folder))
        given = grades(stored.diagnosis)
        for use, truth in specimen.uses.items():
            grade = given.get(use, "none")
            counted[truth, grade] += 1
            print(
                f"| {specimen.name} | {use} | {truth} | {grade} | {reason(stored.diagnosis, use, grade)} |",
                flush=True,
            )
    print("\n### Confusion\n")
    columns = [*dict.fromkeys(grade for _, grade in sorted(counted))]
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for truth in dict.fromkeys(truth for truth, _ in counted):
        print(f"| {truth} | {' | '.join(str(counted[truth, grade] or '') for grade in columns)} |")


def reason(diagnosis: list[dict[str, object]], use: str, grade: str) -> str:
    """The first finding about a use that gives its grade, without its name."""
    level = {"poor": "warning", "good": "good"}.get(grade, "note")
    told = [str(finding["finding"]) for finding in diagnosis if finding["use"] == use and finding["level"] == level]
    text = told[0].partition(": ")[2] or told[0] if told and grade != "unknown" else "".join(told[:1])
    return text.replace("|", "\\|")
