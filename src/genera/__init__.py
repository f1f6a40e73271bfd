"""genera: train, diagnose, compare and use deep generative models.

    import genera

    run = genera.load("runs/demo")
    run.sample(5)
    run.interpolate("a man is near the station .", "two dogs were outside the museum .")

Everything is imported on first use, so that `import genera` costs nothing.
"""

import importlib
from typing import Any

from genera.version import VERSION

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
