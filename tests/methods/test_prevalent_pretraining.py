"""Triplets and their two losses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from genera.errors import GeneraError
from genera.methods.prevalent.encoder.config import EncoderConfig, PretrainConfig
from genera.methods.prevalent.encoder.data import TripletData, joined
from genera.methods.prevalent.encoder.figures import held_out_figures, measure, read_figures, write_figures
from genera.methods.prevalent.encoder.network import ActionHead, NavigationEncoder, Pretrainer, WordHead
from genera.methods.prevalent.encoder.pretraining import objective, word_loss
from genera.methods.prevalent.encoder.triplets import Masking, Triplets, TripletStream
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import InstructedPaths, NavigationData
from genera.navigation.graphs import STEP, canonical
from genera.navigation.tokens import token_ids


@pytest.fixture(scope="module")
def data(houses) -> NavigationData:
    """The embedded houses, with small views."""
    return NavigationData.open(NavigationConfig(view_size=12, angle_size=4, vocabulary=300, limit=90))


@pytest.fixture(scope="module")
def triplets(data) -> Triplets:
    return Triplets.of(data.paths("train"), data.graphs, data.assets.tokeniser, 80)


def network(data, words=True, actions=True):
    size = EncoderConfig(layers=1, hidden=16, heads=2, feed_forward=24, positions=80, dropout=0.0, init=0.25)
    size = size.sized(data.assets.tokeniser.size)
    torch.manual_seed(0)
    encoder = NavigationEncoder(size, 2, data.assets.feature_size)
    return Pretrainer(encoder, WordHead(size) if words else None, ActionHead(size) if actions else None)


def stream(data, triplets, **options):
    options = {"batch": 16, "seed": 3} | options
    return TripletStream(triplets, data.views, data.assets, **options)


# triplets


def test_the_triplets_of_r2r(r2r):
    """Every one of the published labels: 84,280 steps of the 14,039 instructions of train, and their shares."""
    graphs = r2r.graphs
    found = {}
    for split in ("train", "val_seen"):
        paths = InstructedPaths.of(r2r.table(split))
        found[split] = Triplets.of(paths, graphs, Lengths(), 80)  # type: ignore[arg-type]
    train = found["train"]
    assert (len(train), len(found["val_seen"])) == (84_280, 6_198)
    assert len(train.first) - 1 == 14_039
    shares = np.bincount(train.action) / len(train)
    assert_close(100 * shares[:5], np.array([16.66, 46.84, 19.09, 9.25, 4.63]), atol=5e-3, rtol=0)
    assert 100 * shares[5:].sum() == pytest.approx(3.53, abs=0.05)
    assert train.action.max() == 12
    assert train.majority == 1
    valid = 1 + graphs.degrees[train.node]
    assert (1 / valid).mean() == pytest.approx(0.204, abs=5e-4)  # what a uniform choice scores


class Lengths:
    """In the place of a tokeniser, where only the walks are looked at."""

    def encode_batch(self, texts):
        return [[]] * len(texts)


def test_an_action_is_the_rank_of_the_next_viewpoint_by_how_far_one_turns(data, triplets):
    graphs = data.graphs
    for row in range(0, len(triplets), 97):
        node, view, action = int(triplets.node[row]), int(triplets.view[row]), int(triplets.action[row])
        last = row + 1 in triplets.first
        assert (action == 0) == last
        if not last:
            column = np.flatnonzero(graphs.candidates[node] == triplets.node[row + 1])[0]
            turns = np.abs(canonical(graphs.candidate_heading[node] - STEP * (view % 12)))
            nearer = turns[graphs.candidates[node] >= 0] < turns[column] - 1e-9
            assert action == 1 + nearer.sum()
            assert triplets.view[row + 1] == graphs.candidate_view[node, column]


def test_a_path_off_the_edges_is_refused(data):
    paths = data.paths("train")
    nodes = paths.nodes[:1].copy()
    nodes[0, 1] = np.flatnonzero(~np.isin(np.arange(len(data.graphs)), data.graphs.candidates[nodes[0, 0]]))[-1]
    with pytest.raises(GeneraError, match="which is no edge"):
        Triplets.of(InstructedPaths(nodes, paths.headings[:1], paths.texts[:1]), data.graphs, data.assets.tokeniser, 80)


def test_long_instructions_are_cut_and_keep_their_ends(data):
    encoded = token_ids(data.assets.tokeniser, ["stop " * 500, "", "stop"], 12)
    assert encoded.lengths().tolist() == [12, 2, 3]
    rows = encoded.padded(np.arange(3), 12, 0)
    assert (rows[:, 0] == data.assets.tokeniser.bos).all()
    assert [row[n - 1] for row, n in zip(rows, (12, 2, 3), strict=True)] == [data.assets.tokeniser.eos] * 3


# batches


def test_an_epoch_meets_every_triplet_once(data, triplets):
    batches = stream(data, triplets)
    met = np.concatenate([batches.batch(step).ids.numpy() for step in range(batches.steps_per_epoch)])
    assert len(np.unique(met)) == len(met) == len(triplets) // 16 * 16
    again = np.concatenate([batches.batch(step).ids.numpy() for step in range(3)])
    assert (again == met[:48]).all()
    assert (batches.batch(batches.steps_per_epoch).ids.numpy() != met[:16]).any()


def test_a_batch_is_what_its_rows_say(data, triplets):
    batch = stream(data, triplets, steps_of_one=3, masked=0.0).batch(5)
    instruction = np.searchsorted(triplets.first, batch.ids.numpy(), side="right") - 1
    for row, (leader, path) in enumerate(zip(batch.ids.tolist(), instruction.tolist(), strict=True)):
        first, end = triplets.first[path : path + 2]
        length = int(triplets.instructions.lengths()[path])
        assert batch.tokens[row].count_nonzero() == length
        for column in range(3):
            at = first + (leader - first + column) % (end - first)
            assert batch.action[row, column] == triplets.action[at]
            seen = data.views.gather(triplets.node[[at]])[0]
            assert_close(batch.views[row, column, :, :12].numpy(), seen)


def test_ranks_share_what_one_would_see(data, triplets):
    whole = stream(data, triplets, steps_of_one=2).batch(7)
    parts = [stream(data, triplets, steps_of_one=2, rank=rank, ranks=2).batch(7) for rank in range(2)]
    for name in ("ids", "tokens", "picked", "words", "weight", "views", "action"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name


def test_too_few_triplets_are_refused(data, triplets):
    with pytest.raises(GeneraError, match="fewer than one batch"):
        stream(data, triplets, batch=100_000)


# masking


def test_words_are_hidden_replaced_and_left_in_their_shares():
    lengths = np.random.default_rng(1).integers(10, 40, 4000)
    tokens = np.where(np.arange(40) < lengths[:, None], 7, 0)
    tokens[:, 0], tokens[np.arange(4000), lengths - 1] = 1, 2
    shown, places, words = Masking(0.15, 4, 1000)(tokens, lengths, np.random.default_rng(0))
    count = (words >= 0).sum()
    assert count / (lengths - 2).sum() == pytest.approx(0.15, abs=0.005)
    assert (words[words >= 0] == 7).all()
    fate = np.take_along_axis(shown, places, axis=1)[words >= 0]
    assert (fate == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (fate == 7).mean() == pytest.approx(0.1, abs=0.01)
    changed = shown != tokens
    np.put_along_axis(changed, places, False, axis=1)
    assert not changed.any()  # nothing but the picked words, and no special token
    assert (places[words < 0] == 0).all()
    shown, *_ = Masking(0.15, 4, 10)(tokens, lengths, np.random.default_rng(0))
    assert ((shown == 0) == (tokens == 0)).all()  # no word turns into padding


def test_no_picked_word_is_no_loss(data, triplets):
    batch = stream(data, triplets, masked=0.0).batch(0)
    assert (batch.words == -1).all()
    terms = objective(network(data), PretrainConfig(), batch)
    assert terms["mlm"] == 0
    assert torch.isfinite(terms["loss"])


# losses


def test_the_word_loss_is_the_mean_over_the_picked_words_of_all_parts(data, triplets):
    batch = stream(data, triplets).batch(0)
    logits = torch.randn(16, 1, batch.words.shape[1], data.assets.tokeniser.size)
    picked = batch.words >= 0
    wanted = F.cross_entropy(logits[:, 0][picked], batch.words[picked])
    assert_close(word_loss(logits, batch), wanted)
    parts = [word_loss(logits[rows], batch[rows]) for rows in (slice(0, 8), slice(8, 16))]
    assert_close(torch.stack(parts).mean(), wanted)


def test_steps_of_one_instruction_share_its_text_and_give_the_same(data, triplets):
    """The text layers run once for three steps; each step is as if it stood alone."""
    model, batch = network(data), stream(data, triplets, batch=4, steps_of_one=3).batch(2)
    whole = model(batch.tokens, batch.picked, batch.views)
    for column in range(3):
        alone = replace(batch, views=batch.views[:, [column]], action=batch.action[:, [column]])
        found = model(alone.tokens, alone.picked, alone.views)
        assert_close(whole.actions[:, column], found.actions[:, 0], atol=1e-5, rtol=1e-4)
        assert_close(whole.words[:, column], found.words[:, 0], atol=1e-5, rtol=1e-4)


def test_hidden_words_are_guessed_from_the_views_too(data, triplets):
    model, batch = network(data), stream(data, triplets).batch(0)
    other = model(batch.tokens, batch.picked, batch.views.roll(1, 0))
    assert not torch.allclose(model(batch.tokens, batch.picked, batch.views).words, other.words, atol=1e-3)


def test_weights_of_the_losses(data, triplets):
    batch, model = stream(data, triplets).batch(0), network(data)
    both = objective(model, PretrainConfig(), batch)
    assert_close(both["loss"], both["mlm"] + both["ap"])
    weighted = objective(model, PretrainConfig(mlm_weight=0.5, ap_weight=2.0), batch)
    assert_close(weighted["loss"], 0.5 * both["mlm"] + 2 * both["ap"])
    assert objective(network(data, actions=False), PretrainConfig(ap_weight=0.0), batch).keys() == {"loss", "mlm"}
    assert "mlm" not in objective(network(data, words=False), PretrainConfig(mlm_weight=0.0), batch)


def test_a_few_steps_learn_actions_and_words(data):
    """Direction: on few triplets, the loss falls well below the start and actions above the majority."""
    few = Triplets.of(first(data.paths("train"), 12), data.graphs, data.assets.tokeniser, 80)
    model, batches = network(data), stream(data, few, batch=32)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for step in range(40):
        terms = objective(model, PretrainConfig(), batches.batch(step))
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        losses.append([terms["mlm"].item(), terms["ap"].item()])
    start, end = np.mean(losses[:5], axis=0), np.mean(losses[-5:], axis=0)
    assert (end < 0.8 * start).all()


def first(paths, count):
    return InstructedPaths(paths.nodes[:count], paths.headings[:count], paths.texts[:count])


# annotated and synthetic


def test_a_smaller_share_of_the_synthetic_set_is_part_of_a_larger(data):
    paths = data.paths("train")
    made = InstructedPaths(paths.nodes[:, :6], paths.headings, data.paths("valid").texts[:90])
    made = replace(made, nodes=np.where(np.arange(6) < 3, made.nodes, -1))
    sets = {}
    for share in (0.0, 0.1, 1.0):
        found = TripletData.of(data, PretrainConfig(synthetic=share), made)
        sets[share] = found.train
        assert len(found.train) == len(TripletData.of(data, PretrainConfig(), None).train) + 3 * round(share * 90)
    few, all_ = (set(map(bytes, texts_of(sets[share]))) for share in (0.1, 1.0))
    assert few < all_


def texts_of(triplets):
    rows = np.arange(len(triplets.first) - 1)
    return triplets.instructions.padded(rows, 80, 0)


def test_joining_keeps_both(data):
    one, other = first(data.paths("train"), 3), data.paths("valid")
    found = joined(one, replace(other, nodes=np.pad(other.nodes, ((0, 0), (0, 2)), constant_values=-1)), np.array([4]))
    assert found.texts == [*one.texts, other.texts[4]]
    assert found.nodes[3].tolist()[: len(other.nodes[4])] == other.nodes[4].tolist()


# figures


def test_figures_count_classes_and_words(data):
    triplets = TripletData.of(data, PretrainConfig(), None)
    figures = measure(network(data), triplets, "valid", triplets.train.majority)
    shares = {int(name): entry["share"] for name, entry in figures.classes.items()}
    assert sum(shares.values()) == pytest.approx(1)
    assert figures.majority == shares[triplets.train.majority]
    weighted = sum(entry["share"] * entry["accuracy"] for entry in figures.classes.values())
    assert figures.accuracy == pytest.approx(weighted)
    assert 4 < figures.mlm < 9  # untrained: near log of the vocabulary
    assert triplets.size("valid") - 64 < figures.triplets <= triplets.size("valid")
    assert measure(network(data, actions=False), triplets, "valid", 1).accuracy is None


def test_figures_are_read_as_they_were_written(data, tmp_path):
    model = network(data, actions=False).train()
    figures = held_out_figures(model, TripletData.of(data, PretrainConfig(), None))
    assert model.training
    assert set(figures) == {"valid", "val_unseen"}
    write_figures(tmp_path, figures)
    assert read_figures(tmp_path) == figures


def test_a_head_that_always_says_the_majority_scores_it(data):
    triplets, model = TripletData.of(data, PretrainConfig(), None), network(data)
    with torch.no_grad():
        model.actions.action.weight.zero_()
        model.actions.action.bias[triplets.train.majority] = 1.0
    figures = measure(model, triplets, "valid", triplets.train.majority)
    assert figures.accuracy == figures.majority
