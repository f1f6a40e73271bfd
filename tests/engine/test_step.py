"""One training step: noise, accumulation, clipping, averages, players, precision, and what is not finite."""

from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from genera.data.batch import Batch
from genera.engine import checkpoint
from genera.engine.config import TrainConfig
from genera.engine.player import Player
from genera.engine.ranks import Ranks
from genera.engine.step import SMALLEST_SCALE, Step
from genera.engine.trainees import enrol
from genera.errors import GeneraError
from training import start

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)


@dataclass
class Points(Batch):
    x: torch.Tensor


def points(count=8, features=3):
    x = torch.randn(count, features, generator=torch.Generator().manual_seed(1))
    return Points(ids=torch.arange(100, 100 + count), x=x)


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(3, 1)


def constant(step, progress):
    return 1.0


def new_step(networks, optimiser=None, schedule=constant, ranks=ALONE, stage=0, before=0, **settings):
    optimiser = optimiser or (lambda network: torch.optim.SGD(network.parameters(), lr=0.1))
    config = TrainConfig(steps=10, **({"clip": 0.0} | settings))
    players = {name: Player(network, optimiser(network), schedule) for name, network in networks.items()}
    step = Step(config, ranks, enrol(players, config, ALONE), stage=stage, before=before)
    if config.precision == "fp16":
        step.scaler = torch.amp.GradScaler("cpu")
    return step


def squares(network):
    return lambda batch, step: {"loss": network(batch.x).square().mean()}


# noise


def noise(seed=42, world=1, accumulate=1, index=3, stage=0):
    """Every row's noise of one global batch of 8, and of the second draw of each part, put together again."""
    rows = []
    network = linear()

    def loss(batch, step):
        count = len(batch)
        rows.append(torch.cat([step.normal(count, 2), step.uniform(count, 2), step.integers(99, count, 2)], 1))
        return {"loss": network.weight.sum()}

    for rank in range(world):
        ranks = Ranks(rank, world, CPU)
        step = new_step({"one": network}, ranks=ranks, stage=stage, seed=seed, accumulate=accumulate)
        step._move = lambda *arguments: torch.zeros(())  # alone here, the ranks cannot average gradients
        step.begin(index, 0.3)
        step.minimise("one", loss, points(8 // world))
    return torch.cat(rows)


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (1, 4), (2, 1), (4, 1), (2, 2)])
def test_a_rows_noise_does_not_depend_on_how_the_batch_is_split(world, accumulate):
    assert torch.equal(noise(world=world, accumulate=accumulate), noise())


def test_noise_is_new_every_step_stage_seed_and_draw():
    draws = [noise(), noise(index=4), noise(stage=1), noise(seed=43)]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])
    step = new_step({"one": linear()})
    step.begin(0, 0.0)
    one, two = step.normal(1000), step.normal(1000)
    assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1]) < 0.15


# learning


def trained(steps=4, **settings):
    network = linear()
    step = new_step({"one": network}, **settings)
    for index in range(steps):
        step.begin(index, index / steps)
        step.minimise("one", squares(network), points())
    return network, step


def test_accumulated_parts_are_the_whole_batch():
    whole, parts = trained()[0], trained(accumulate=4)[0]
    torch.testing.assert_close(parts.weight, whole.weight)
    assert trained()[1].averages() == pytest.approx(trained(accumulate=4)[1].averages(), rel=1e-5)


@pytest.mark.parametrize(("of_the_run", "of_the_player"), [(0.3, None), (5.0, 0.3), (0.0, 0.3)])
def test_clipping_is_torchs(of_the_run, of_the_player):
    network, twin = linear(), linear()
    step = new_step({"one": network}, clip=of_the_run)
    step.trainees["one"].player.clip = of_the_player
    step.begin(0, 0.0)
    step.minimise("one", squares(network), points())
    twin(points().x).square().mean().backward()
    norm = nn.utils.clip_grad_norm_(twin.parameters(), 0.3)
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    assert norm > 0.3
    assert torch.equal(network.weight, twin.weight)
    assert step.averages()["grad_norm"] == pytest.approx(norm.item())  # before clipping


def test_the_moving_average_follows_by_its_decay():
    network = linear()
    step = new_step({"one": network}, ema=0.75)
    expected = network.weight.detach().clone()
    for index in range(3):
        step.begin(index, index / 3)
        step.minimise("one", squares(network), points())
        step.end()
        expected = 0.75 * expected + 0.25 * network.weight.detach()
    torch.testing.assert_close(step.trainees["one"].average[0], expected)


def test_a_player_can_stay_out_of_the_average():
    network = linear()
    config = TrainConfig(steps=1, ema=0.9)
    player = Player(network, torch.optim.SGD(network.parameters()), constant, averaged=False)
    assert enrol({"one": player}, config, ALONE)["one"].average == []


def test_the_learning_rate_is_the_schedules():
    network = linear()
    rates = []
    step = new_step({"one": network}, schedule=lambda step, progress: (step + 1) * (1 - progress))
    for index in range(4):
        step.begin(index, index / 4)
        step.minimise("one", squares(network), points())
        rates.append(step.trainees["one"].player.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1 * 1, 0.1 * 2 * 0.75, 0.1 * 3 * 0.5, 0.1 * 4 * 0.25])


def test_the_other_players_are_frozen_meanwhile_and_free_after():
    one, two = linear(0), nn.Linear(1, 1)
    step = new_step({"one": one, "two": two})
    before = two.weight.detach().clone()
    seen = []

    def through_both(batch, step):
        seen.append((one.weight.requires_grad, two.weight.requires_grad))
        return {"loss": two(one(batch.x)).square().mean()}

    step.begin(0, 0.0)
    step.minimise("one", through_both, points())
    step.minimise("two", through_both, points())
    assert seen == [(True, False), (False, True)]
    assert one.weight.requires_grad
    assert two.weight.requires_grad
    assert not torch.equal(two.weight, before)
    assert one.weight.grad is None
    assert set(step.averages()) == {"one/loss", "one/grad_norm", "two/loss", "two/grad_norm"}


def test_telemetry_is_the_mean_since_the_last_call():
    step = new_step({})
    for value in (1.0, 2.0, 6.0):
        step.record(term=torch.tensor(value))
    assert step.averages() == {"term": 3.0}
    assert step.averages() == {}


# what is not finite

OPTIMISERS = {
    "guarded": lambda network: torch.optim.Adam(network.parameters(), lr=0.1, fused=True),
    "unguarded": lambda network: torch.optim.AdamW(network.parameters(), lr=0.1, fused=False),
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("what", ["loss", "term", "gradient"])
def test_nothing_moves_when_a_value_is_not_finite(optimiser, what):
    network = linear()

    def loss(batch, step):
        outputs = network(batch.x)
        if what == "gradient":  # the root of 0 is 0, its slope infinite
            return {"loss": (outputs.square().mean() * 0).sqrt()}
        kl = outputs.mean() * torch.nan
        return {"loss": outputs.mean() + kl} | ({"kl": kl} if what == "term" else {})

    step = new_step({"vae": network}, OPTIMISERS[optimiser], before=20, ema=0.9)
    step.begin(0, 0.0)
    step.minimise("vae", squares(network), points())
    before = [p.detach().clone() for p in network.parameters()]
    average = step.trainees["vae"].average[0].clone()
    step.begin(4, 0.4)
    with pytest.raises(GeneraError) as error:
        step.minimise("vae", loss, points())
    named = {"loss": "term 'loss'", "term": "term 'kl'", "gradient": "the gradient"}[what]
    assert str(error.value).startswith(f"{named} of player 'vae' is not finite at step 25, items 100, 101, 102,")
    assert "the weights are unchanged" in str(error.value)
    assert all(torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))
    assert torch.equal(step.trainees["vae"].average[0], average)


def test_many_items_are_counted_and_not_listed():
    network = linear()
    step = new_step({"one": network})
    with pytest.raises(GeneraError, match=r"items 100, .*, 115 and 14 more; the weights"):
        step.minimise("one", lambda batch, step: {"loss": network(batch.x).mean() / 0}, points(30))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the host checks before the step on a CPU")
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_on_a_gpu_the_optimiser_holds_still_until_the_host_knows(optimiser):
    network = linear().cuda()
    step = new_step({"one": network}, OPTIMISERS[optimiser], ranks=Ranks(0, 1, torch.device("cuda")))
    before = network.weight.detach().clone()
    spoilt = points().to("cuda")
    try:
        step.minimise("one", lambda batch, step: {"loss": network(batch.x).mean() / 0}, spoilt)
    except GeneraError:
        assert optimiser == "unguarded"  # which the host has to hold back
    else:
        with pytest.raises(GeneraError, match="not finite"):
            step.check()
    assert torch.equal(network.weight, before)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_broken_item_stops_the_run_and_leaves_the_last_checkpoint(tmp_path, ranks):
    """Whichever rank read item 17, the main one names it."""
    words = ["small-gan:tiny", tmp_path / "run", "train.steps=40", "train.checkpoint_every=2"]
    stopped = start(*words, "data.broken_item=17", ranks=ranks)
    assert stopped.returncode == 1
    message = next(line for line in stopped.stderr.splitlines() if line.startswith("error: "))
    assert "term 'real' of player 'discriminator'" in message
    assert " 17," in message.replace(";", ",")
    step = int(message.partition("at step ")[2].partition(",")[0])
    last = checkpoint.pick(tmp_path / "run" / "checkpoints")
    assert checkpoint.position_of(last).step == (step - 1) // 2 * 2
    assert all(value.isfinite().all() for value in load_file(last / "weights.safetensors").values())


# precision


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_in_its_type_and_weights_stay(precision, dtype):
    network = linear()
    seen = []

    def loss(batch, step):
        outputs = network(batch.x)
        seen.append(outputs.dtype)
        return {"loss": outputs.float().square().mean()}

    step = new_step({"one": network}, precision=precision)
    step.minimise("one", loss, points())
    assert seen == [dtype]
    assert network.weight.dtype == torch.float32


def fp16_steps(count, scale, spoil=lambda index: False):
    """Losses of `count` steps in fp16 from a loss scale, and the step."""
    network = linear()
    step = new_step({"one": network}, precision="fp16")
    step.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    weights = [network.weight.detach().clone()]
    for index in range(count):

        def loss(batch, step, index=index):
            value = network(batch.x).float().square().mean()
            return {"loss": value + (0 * value).sqrt() if spoil(index) else value}

        step.begin(index, index / count)
        step.minimise("one", loss, points())
        weights.append(network.weight.detach().clone())
    return weights, step


def test_fp16_learns_what_fp32_learns():
    weights, _ = fp16_steps(5, 1024.0)
    torch.testing.assert_close(weights[-1], trained(5)[0].weight.detach(), rtol=1e-2, atol=1e-3)


def test_fp16_skips_a_step_that_overflows_halves_its_scale_and_goes_on():
    weights, step = fp16_steps(3, 1024.0, spoil=lambda index: index == 1)
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])
    assert step.scaler.get_scale() == 512.0


def test_fp16_gives_up_when_no_scale_helps():
    _, step = fp16_steps(3, 2 * SMALLEST_SCALE, spoil=lambda index: True)
    with pytest.raises(GeneraError, match=r"overflow fp16 at any loss scale .* --precision bf16"):
        step.averages()


def test_a_loss_that_is_not_finite_stops_fp16_too():
    network = linear()
    step = new_step({"one": network}, precision="fp16")
    with pytest.raises(GeneraError, match="term 'loss'"):
        step.minimise("one", lambda batch, step: {"loss": network(batch.x).mean() / 0}, points())


# staged statistics, averages of buffers


class Counter(nn.Module):
    """A network that counts its rows when it runs and keeps them at the end of a turn."""

    def __init__(self):
        super().__init__()
        self.linear, self.inner = nn.Linear(3, 1), nn.ModuleList()
        self.register_buffer("rows", torch.zeros(()))
        self.seen, self.commits = 0, 0

    def forward(self, x):
        self.seen += len(x)
        return self.linear(x)

    def commit(self):
        self.rows += self.seen
        self.seen, self.commits = 0, self.commits + 1


def test_statistics_of_every_player_are_committed_once_a_turn():
    networks = {"one": Counter(), "other": nn.Sequential(Counter())}
    step = new_step(networks, accumulate=2)
    step.begin(0, 0.0)
    step.minimise(
        "one", lambda batch, step: {"loss": networks["one"](networks["other"](batch.x).expand(-1, 3)).mean()}, points()
    )
    for counter in (networks["one"], networks["other"][0]):
        assert (counter.rows, counter.commits) == (8, 1)


@pytest.mark.parametrize("average_buffers", [False, True])
def test_the_average_may_follow_buffers_and_begin_late(average_buffers):
    network = Counter()
    player = Player(network, torch.optim.SGD(network.parameters(), lr=0.1), constant, average_buffers=average_buffers)
    config = TrainConfig(steps=10, clip=0.0, ema=0.75, ema_start=1)
    step = Step(config, ALONE, enrol({"one": player}, config, ALONE))
    trainee = step.trainees["one"]
    for index in range(2):
        step.begin(index, 0.0)
        step.minimise("one", squares(network), points())
        step.end()
        if index == 0:
            assert all(torch.equal(a, b) for a, b in zip(trainee.average, trainee.followed, strict=True))
    assert len(trainee.average) == 2 + average_buffers
    assert not torch.equal(trainee.average[0], network.linear.weight)
    if average_buffers:
        assert trainee.average[2] == 0.75 * 8 + 0.25 * 16


def test_integers_cover_their_range_evenly():
    step = new_step({"one": linear()})
    step.begin(3, 0.0)
    drawn = step.integers(5, 5000)
    assert drawn.dtype == torch.int64
    assert torch.bincount(drawn).tolist() == pytest.approx([1000] * 5, abs=120)


def test_rows_that_parts_do_not_divide_are_refused():
    network = linear()
    step = new_step({"one": network}, accumulate=3)
    step.begin(0, 0.0)
    with pytest.raises(GeneraError, match="has 8 rows on this rank, not divisible by --accumulate 3"):
        step.minimise("one", squares(network), points())
