"""Are texts like those that a model was trained on? Their nats per word against those of held-out texts.

RUN/typical.json holds quantiles of the nats per word of held-out texts; an evaluation on the run's own data writes it.
Runs without it give no warnings.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genera.engine.capabilities import Scores
from genera.errors import FarFromTraining, GeneraError
from genera.files import read_json, write_json
from genera.uses.run import Run

FILE = "typical.json"
ITEMS = 500
"""Number of held-out texts."""
CHECKED = 64
"""Number of texts of one call that are checked, evenly spaced."""
AT_ONCE = 64
SHOWN = 60
"""Characters shown of an unusual text."""


@torch.no_grad()
def nats_per_word(run: Run, texts: Sequence[str]) -> NDArray[np.float64]:
    """(N,) −log p(x), or the negative ELBO of one draw, over the number of words with the end of the text."""
    model: Any = run.method
    generator, parts = run.generator(0), []
    for i in range(0, len(texts), AT_ONCE):
        parts.append(-model.score(texts[i : i + AT_ONCE], 1, generator=generator).log_weights[0].cpu().numpy())
    return np.concatenate(parts) / np.array([len(text.split()) + 1 for text in texts])


def write_typical(run: Run, texts: Sequence[str]) -> None:
    """Write RUN/typical.json from held-out texts of the run's own data."""
    nats = nats_per_word(run, texts)
    quantiles = {f"{q:g}": float(np.quantile(nats, q)) for q in (0.01, 0.5, 0.9, 0.99)}
    if np.isfinite(list(quantiles.values())).all():
        about = {"unit": "nats per word", "items": len(texts), "step": run.step, "quantiles": quantiles}
        write_json(run.folder.path / FILE, about)


def warn_if_far(run: Run, texts: Sequence[str]) -> None:
    """Warn (FarFromTraining) if a text costs far more nats per word than held-out texts do.

    Far is beyond the 0.99 quantile by more than that is beyond the median, and by half the median. Says nothing for
    models without likelihood and for runs without typical.json.
    """
    path = run.folder.path / FILE
    if run.method.dataset.kind != "text" or not isinstance(run.method, Scores) or not path.is_file() or not texts:
        return
    try:
        median, high = (float(read_json(path)["quantiles"][name]) for name in ("0.5", "0.99"))
    except (KeyError, TypeError, ValueError):
        raise GeneraError(f"{path} is damaged; delete it, or restore it by `genera evaluate`.") from None
    some = [texts[row] for row in np.unique(np.linspace(0, len(texts) - 1, min(len(texts), CHECKED)).astype(int))]
    nats = nats_per_word(run, some)
    far = np.flatnonzero(~(nats <= high + max(high - median, median / 2)))
    if len(far):
        worst = far[np.argmax(nats[far])]
        text = some[worst] if len(some[worst]) <= SHOWN else some[worst][:SHOWN] + "…"
        warnings.warn(
            f"{len(far)} of {len(some)} texts are unlike the training data: {text!r} costs {nats[worst]:.3g} nats a "
            f"word, 99 % of held-out texts at most {high:.3g}. What the model makes of it may have little to do "
            "with it.",
            FarFromTraining,
            stacklevel=3,
        )
