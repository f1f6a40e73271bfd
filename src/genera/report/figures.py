"""The curves of one or several runs as figures for papers: one file per logged term, drawn by matplotlib for print."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from genera.engine.folder import RunFolder
from genera.errors import GeneraError, unknown
from genera.files import atomic
from genera.report.charts import finite, thin
from genera.report.page import CURVE_TITLES, curve_order
from genera.report.run_files import read_run
from genera.report.seeds import Curve, grouped

Format: TypeAlias = Literal["pdf", "svg", "png"]
Lines: TypeAlias = Mapping[str, tuple[Curve, Curve, Curve]]
"""name → (line, lower edge, upper edge); the edges are the line where there is no band"""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of Okabe and Ito, which colour-blind readers can tell apart; the line styles tell them apart in grey."""
STYLES = ("-", "--", "-.", ":")
STYLE: Any = {
    "figure.figsize": (3.3, 2.2),  # inches: one column of a two-column page
    "figure.dpi": 300,
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.3,
    "grid.color": "#cccccc",
    "lines.linewidth": 1.0,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "genera",  # the same curves give the same file
}


def write_figures(run_folders: Sequence[str | Path], out: str | Path, *, format: Format = "pdf") -> list[Path]:
    """Write the curves of runs to the folder `out`, one file per logged term, and return the files.

    Of one run the training and validation curves; of several the training curves, where runs that differ only in their
    seed are one line: their mean, with a band of one standard deviation.

    Raises:
        GeneraError: matplotlib is not installed (`genera[plot]`), an unknown format, a folder that is no run, or runs
            without curves.
    """
    if format not in get_args(Format):
        raise unknown("format", format, get_args(Format))
    terms = _curves(run_folders)
    if not terms:
        raise GeneraError(f"there are no curves in {', '.join(map(str, run_folders))}; train first.")
    paths = []
    for term in curve_order(terms):
        path = Path(out) / f"{term.replace('/', '-')}.{format}"
        with atomic(path) as temporary:
            _draw(terms[term], CURVE_TITLES.get(term, term.replace("_", " ").replace("/", ", ")), temporary, format)
        paths.append(path)
    return paths


def _curves(run_folders: Sequence[str | Path]) -> Mapping[str, Lines]:
    records = [read_run(RunFolder.existing(folder).path) for folder in run_folders]
    if len(records) == 1:
        curves = records[0].curves()
        return {term: {name: (line, line, line) for name, line in lines.items()} for term, lines in curves.items()}
    terms: dict[str, dict[str, tuple[Curve, Curve, Curve]]] = {}
    for group in grouped(records):
        for term, stages in group.curves().items():
            for stage, lines in stages.items():
                terms.setdefault(term, {})[", ".join(filter(None, (group.name, stage)))] = lines
    return terms


def _draw(lines: Lines, title: str, path: Path, format: Format) -> None:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise GeneraError('figures need matplotlib: pip install "genera[plot]".') from None
    with rc_context(STYLE):
        figure = Figure(layout="constrained")
        axes = figure.add_subplot(xlabel="step", ylabel=title)
        for index, ((name, (line, low, high)), colour) in enumerate(zip(lines.items(), cycle(COLOURS), strict=False)):
            drawn: dict[str, Any] = {"color": colour, "linestyle": STYLES[index % len(STYLES)]}
            steps, values = _columns(line)
            axes.plot(steps, values, label=name, marker="o" if len(steps) == 1 else None, markersize=3, **drawn)
            if low != high:
                axes.fill_between(_columns(low)[0], _columns(low)[1], _columns(high)[1], color=colour, alpha=0.2, lw=0)
        if len(lines) > 1:
            axes.legend()
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        figure.savefig(path, format=format, metadata=dates.get(format))


def _columns(curve: Curve) -> tuple[list[float], list[float]]:
    """Steps and values of the finite points, thinned as on the page."""
    points = thin([point for point in curve if finite(*point)])
    return [step for step, _ in points], [value for _, value in points]
