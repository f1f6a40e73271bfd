"""`step.gather`: losses over the whole batch on several ranks are those of one rank that holds it."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from genera.engine.config import TrainConfig
from genera.engine.player import Player
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from small_methods import Points
from training import TESTS

ALONE = Ranks(0, 1, torch.device("cpu"))


def one_step(ranks, own_rows):
    """Gradients, by way of plain gradient descent, of a contrastive loss over 8 rows on these ranks."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 4)
    player = Player(network, torch.optim.SGD(network.parameters(), lr=1.0), lambda step, progress: 1.0)
    config = TrainConfig(steps=1, batch_size=8, clip=0.0)
    step = Step(config, ranks, enrol({"encoder": player}, config, ranks))
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    rows = 8 // ranks.world
    first = ranks.rank * rows
    step.begin(0, 0.0)

    def loss(batch, step):
        z = network(batch.x)
        every = step.gather(z)
        queries, offset = (z, first) if own_rows else (every, 0)
        similarity = queries @ (every + 1).T
        targets = torch.arange(offset, offset + len(queries))
        return {"loss": torch.nn.functional.cross_entropy(similarity, targets)}

    step.minimise("encoder", loss, Points(ids=torch.arange(rows), x=x[first : first + rows]))
    return dict(network.state_dict())


@pytest.mark.parametrize("own_rows", [True, False])
def test_two_ranks_have_the_gradient_of_the_whole_batch(tmp_path, own_rows):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, __file__, str(int(own_rows)), str(tmp_path / "ranks.safetensors")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{TESTS}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    whole, ranks = one_step(ALONE, own_rows), load_file(tmp_path / "ranks.safetensors")
    for name, value in whole.items():
        torch.testing.assert_close(ranks[name], value, rtol=1e-5, atol=1e-6)


def test_an_accumulated_part_cannot_gather():
    network = torch.nn.Linear(3, 4)
    player = Player(network, torch.optim.SGD(network.parameters(), lr=1.0), lambda step, progress: 1.0)
    config = TrainConfig(steps=1, batch_size=8, accumulate=2)
    step = Step(config, ALONE, enrol({"encoder": player}, config, ALONE))
    batch = Points(ids=torch.arange(8), x=torch.zeros(8, 3))
    assert len(step.gather(batch.x)) == 8  # outside of `minimise` no part is cut
    with pytest.raises(GeneraError, match="needs the whole batch, but --accumulate 2 splits it"):
        step.minimise("encoder", lambda rows, step: {"loss": step.gather(network(rows.x)).sum()}, batch)


if __name__ == "__main__":
    from safetensors.torch import save_file

    from genera.engine.ranks import join_ranks

    with join_ranks("cpu") as joined:
        weights = one_step(joined, bool(int(sys.argv[1])))
        if joined.main:
            save_file(weights, sys.argv[2])
