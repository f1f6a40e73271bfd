"""A classifier trained together with the encoder below it (Li et al. 2020, section 4.3; Devlin et al. 2019)."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.fitting import Fit, seeded, shuffled
from genera.data.text.pairs import PAIR, halves
from genera.engine.capabilities import Features
from genera.uses.settings import ProbeConfig

PREDICTED_AT_ONCE = 256


def read(model: Features, items: Sequence[str], apart: bool) -> Tensor:
    """h of each item, (B, H). With `apart`, the sentences of a pair are encoded separately: (u, v, |u - v|, u v), (B,
    4H), as is usual for sentence encoders (Conneau and Kiela 2018)."""
    if not (apart and isinstance(items[0], str) and PAIR in items[0]):
        return model.features(items)
    u, v = (model.features(side) for side in zip(*map(halves, items), strict=True))
    return torch.cat([u, v, (u - v).abs(), u * v], 1)


class FineTuned:
    """Softmax of W_C h, with h the model's features under dropout. The given model is copied, not changed."""

    def __init__(self, model: Features, classes: int, config: ProbeConfig, lr: float) -> None:
        assert isinstance(model, nn.Module)
        self._given, self._classes, self._config, self._lr = model, classes, config, lr

    def fit(self, items: Sequence[str], classes: NDArray[np.int64], seed: int) -> "FineTuned":
        """AdamW on all weights, linear decay to 0, gradients clipped at norm 1; a pure function of `seed` on a CPU."""
        config = self._config
        device = next(self._given.parameters()).device
        with seeded(seed, device):
            self._model = copy.deepcopy(self._given).train()
            with torch.no_grad():
                width = self._read(items[:1]).shape[1]
            self._head = nn.Linear(width, self._classes).to(device)
            parameters = [*self._model.parameters(), *self._head.parameters()]
            targets = torch.from_numpy(classes).to(device)
            per_epoch = math.ceil(len(items) / config.tune_batch)
            fit = Fit("fine-tuning", min(config.tune_steps, config.tune_epochs * per_epoch))
            descend = fit.optimiser(parameters, "adamw", lr=self._lr, schedule="linear", clip=1.0)
            for rows in fit.batches(shuffled(len(items), config.tune_batch)):
                h = F.dropout(self._read([items[i] for i in rows.tolist()]), config.tune_dropout)
                descend(F.cross_entropy(self._head(h), targets[rows]))
        self._model.eval()
        return self

    @torch.no_grad()
    def predict(self, items: Sequence[str]) -> NDArray[np.int64]:
        parts = (items[i : i + PREDICTED_AT_ONCE] for i in range(0, len(items), PREDICTED_AT_ONCE))
        logits: list[Tensor] = [self._head(self._read(part)) for part in parts]
        return torch.cat(logits).argmax(1).cpu().numpy()

    def _read(self, items: Sequence[str]) -> Tensor:
        return read(self._model, items, self._config.pairs == "apart")
