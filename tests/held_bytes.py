"""What each rank of a training holds, measured in the processes that train."""

import json
from pathlib import Path
from typing import Any

import torch

from genera.engine import train as training
from genera.testing.runs import configured


def train(spec: str, out: str, overrides: dict[str, object]) -> None:
    """Train, and write the bytes of weights and optimiser state that each rank ends with to OUT.RANK.json."""
    torch.set_num_threads(1)
    run_stage = training.run_stage

    def measured(stage: Any, method: Any, data: Any, stream: Any, step: Any, *rest: Any) -> None:
        run_stage(stage, method, data, stream, step, *rest)
        (trainee,) = step.trainees.values()
        states = [value for state in trainee.player.optimiser.state.values() for value in state.values()]
        held = {"weights": local(trainee.parameters), "optimiser": local(states)}
        Path(f"{out}.{step.ranks.rank}.json").write_text(json.dumps(held))

    training.run_stage = measured
    training.train(configured(spec, overrides), out)


def local(tensors: list[torch.Tensor]) -> int:
    """Bytes of these tensors on this rank; a view counts its part alone."""
    own = [t.detach().to_local() if hasattr(t, "to_local") else t.detach() for t in tensors]  # type: ignore[operator]
    return sum(t.numel() * t.element_size() for t in own)
