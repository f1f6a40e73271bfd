"""genera: train, diagnose, compare and use deep generative models.

Use a trained model:

    import genera

    run = genera.load("optimus-mini")  # ships with the package; or the folder of a run
    run.sample(5)
    run.interpolate("a man is near the station .", "two dogs were outside the museum .")
    run.analogy("a dog is here .", "a dog was here .", "a man is there .")

Train one on your own data, measure it and look at it:

    config = genera.configure("optimus:nano", data="text:my_sentences.txt", steps=2000)
    genera.train(config, "runs/mine")
    run = genera.load("runs/mine")
    evaluation = run.evaluate()  # figures, findings and examples; also kept in runs/mine/evaluations/
    run.report()  # runs/mine/report.html

Compare several settings over several seeds with `ablate` and `write_comparison`. Measure files without a model with
`fid`, `kid`, `precision_recall`, `bleu`, `self_bleu` and `distinct`. Put a feature quantiser into the discriminator of
your own GAN with `quantize`. `help(genera.load)` and `help(genera.run.Run)` explain the rest; the command `genera list`
shows methods, presets, data sources and worlds.

Bad input raises `GeneraError` with one sentence. Everything is imported on first use, so `import genera` is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

from genera.version import VERSION

if TYPE_CHECKING:  # for editors and type checkers; at run time `__getattr__` imports on first use
    from genera.blocks.quantisation import quantize as quantize
    from genera.engine.origin import Origin as Origin
    from genera.engine.registry import configure as configure
    from genera.engine.train import train as train
    from genera.errors import GeneraError as GeneraError
    from genera.evaluation.evaluate import evaluate as evaluate
    from genera.evaluation.two_sets import measure as measure
    from genera.measures.two_sets import bleu as bleu
    from genera.measures.two_sets import distinct as distinct
    from genera.measures.two_sets import fid as fid
    from genera.measures.two_sets import kid as kid
    from genera.measures.two_sets import precision_recall as precision_recall
    from genera.measures.two_sets import self_bleu as self_bleu
    from genera.report.ablation import ablate as ablate
    from genera.report.compare import write_comparison as write_comparison
    from genera.report.export import export_run as export_run
    from genera.report.figures import write_figures as write_figures
    from genera.report.page import write_report as write_report
    from genera.run import load as load
    from genera.uses.share import import_run as import_run

__version__ = VERSION

_PUBLIC = {
    "configure": "genera.engine.registry",
    "read_config": "genera.engine.registry",
    "train": "genera.engine.train",
    "load": "genera.run",
    "evaluate": "genera.evaluation.evaluate",
    "measure": "genera.evaluation.two_sets",
    "fid": "genera.measures.two_sets",
    "kid": "genera.measures.two_sets",
    "precision_recall": "genera.measures.two_sets",
    "bleu": "genera.measures.two_sets",
    "self_bleu": "genera.measures.two_sets",
    "distinct": "genera.measures.two_sets",
    "import_run": "genera.uses.share",
    "export_run": "genera.report.export",
    "Origin": "genera.engine.origin",
    "write_report": "genera.report.page",
    "write_comparison": "genera.report.compare",
    "write_figures": "genera.report.figures",
    "ablate": "genera.report.ablation",
    "quantize": "genera.blocks.quantisation",
    "GeneraError": "genera.errors",
}
"""public name → the module that holds it"""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'genera' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
