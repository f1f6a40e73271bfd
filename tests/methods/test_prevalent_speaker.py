import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from genera.blocks.decoding import beam_search
from genera.blocks.decoding_options import Decoding
from genera.data.vocabularies.words import EOS, PAD, UNK
from genera.errors import GeneraError
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.data import SpeakerData, SpeakerExamples, sketch
from genera.methods.prevalent.speaker.inference import InstructionWriter, describe, environmental_dropout, observe_paths
from genera.methods.prevalent.speaker.network import EnvDropEncoder, FollowerEncoder, Speaker
from genera.methods.prevalent.speaker.training import (
    bleu,
    build_speaker,
    load_word_vectors,
    speaker_stage,
    teacher_forcing,
)
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import InstructedPaths, NavigationData
from genera.navigation.simulator import views_along

SMALL = SpeakerConfig(hidden=32, embedding=16, dropout=0.0, feature_dropout=0.0, lr=5e-3)
VARIANTS = ["envdrop", "follower"]


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(limit=60))


@pytest.fixture(scope="module")
def examples(data):
    return SpeakerData(data, 80).examples("train")


def speaker_of(data, config=SMALL, seed=0, **changes):
    torch.manual_seed(seed)
    return build_speaker(dataclasses.replace(config, **changes), data.assets)


def test_the_published_size():
    """12.24 M parameters: ours, and the head for reinforcement learning (512 → 128 → 1) that the published code has
    and never trains. The vocabulary is the published one with <BOS>."""
    speaker = Speaker(SpeakerConfig(), feature_size=2176, angle_size=128, vocabulary=992)
    count = sum(p.numel() for p in speaker.parameters())
    reinforcement = 512 * 128 + 128 + 128 + 1
    biases = 2 * 2 * 2 * 4 * 256 + 2 * 4 * 512 + 992
    matrices = (
        2 * 4 * 256 * (2176 + 256) + 2 * 4 * 256 * (512 + 256)  # both directions of both LSTMs over the path
        + 512 * 2176 + (2176 + 512) * 512  # the look at the views
        + 992 * 256 + 4 * 512 * (256 + 512) + 512 * 512 + 1024 * 512 + 512 * 992  # the decoder
    )  # fmt: skip
    assert count == matrices + biases
    assert round((count + reinforcement) / 1e6, 2) == 12.24


def test_what_is_seen_is_the_view_of_the_chosen_neighbour(data, examples):
    batch = examples.batch(np.arange(5))
    actions, panoramas, mask = observe_paths(examples.town, batch.nodes, batch.views)
    graphs, size = data.graphs, data.config.view_size
    assert torch.equal(mask, batch.nodes >= 0)
    for row, path in enumerate(batch.nodes.tolist()):
        path = [node for node in path if node >= 0]
        for t, (here, there) in enumerate(pairwise(path)):
            column = np.flatnonzero(graphs.candidates[here] == there)[0]
            view = graphs.candidate_view[here, column]
            assert_close(actions[row, t, :size], torch.from_numpy(data.views.gather(np.array(here))[view]))
            assert_close(panoramas[row, t, view, :size], actions[row, t, :size])
            relative = graphs.candidate_heading[here, column] - np.pi / 6 * (batch.views[row, t].item() % 12)
            assert_close(actions[row, t, size].item(), float(np.sin(relative)), rtol=1e-5, atol=1e-5)
            if t + 1 < len(path):
                assert batch.views[row, t + 1] == view
        assert (actions[row, len(path) - 1] == 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_depends_on_no_other_and_on_no_padding(data, examples, variant):
    speaker = speaker_of(data, variant=variant).eval()
    batch = examples.batch(np.arange(6))
    wide = dataclasses.replace(
        batch,
        nodes=F.pad(batch.nodes, (0, 3), value=-1),
        views=F.pad(batch.views, (0, 3), value=7),
        words=F.pad(batch.words, (0, 4), value=PAD),
    )
    whole = teacher_forcing(speaker, batch)["loss"]
    alone = torch.stack([teacher_forcing(speaker, batch[i : i + 1])["loss"] for i in range(6)]).mean()
    assert_close(teacher_forcing(speaker, wide)["loss"], whole)
    assert_close(alone, whole)


def test_the_encoders_follow_their_equations():
    torch.manual_seed(0)
    actions, panoramas = torch.randn(1, 3, 10), torch.randn(1, 3, 36, 10)
    everything = torch.ones(1, 3, dtype=torch.bool)

    follower = FollowerEncoder(10, 8, 0.5).eval()
    encoded = follower(actions, panoramas, everything)
    h = c = torch.zeros(1, 8)
    for t in range(3):
        dots = [follower.key(panoramas[0, t, v]) @ follower.query(h[0]) for v in range(36)]
        looked = (torch.stack(dots).softmax(0)[:, None] * panoramas[0, t]).sum(0)
        h, c = follower.cell(torch.cat([actions[0, t], looked])[None], (h, c))
        assert_close(encoded.states[:, t], h)
    assert_close(encoded.hidden, torch.tanh(follower.to_decoder(h)))
    assert_close(encoded.cell, c)

    envdrop = EnvDropEncoder(10, 8, 0.5).eval()
    encoded = envdrop(actions, panoramas, everything)
    states = envdrop.actions(actions, everything)
    looks = [envdrop.look(states[:, t : t + 1], panoramas[:, t])[0] for t in range(3)]
    assert_close(encoded.states, envdrop.path(torch.cat(looks, 1), everything))
    assert not encoded.hidden.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_decoding_equals_reading_everything_anew_for_each_word(data, examples, variant):
    speaker = speaker_of(data, variant=variant, seed=2).eval()
    with torch.no_grad():  # sharp enough to have clear winners, and to end
        for parameter in speaker.decoder.parameters():
            parameter.normal_(std=0.5)
        speaker.decoder.output.bias[EOS] = 2.0
    batch, vocabulary = examples.batch(np.arange(0, 60, 3)), data.assets.words
    limit = Decoding(max_tokens=15)
    written = describe(speaker, vocabulary, examples.town, batch.nodes, batch.views, decoding=limit)
    lengths = []
    with torch.no_grad():
        for row, text in enumerate(written):
            inputs = observe_paths(examples.town, batch.nodes[row : row + 1], batch.views[row : row + 1])
            words = [vocabulary.bos]
            while len(words) < 16:
                logits = speaker(*inputs, torch.tensor([words]))[0, -1]
                logits[[PAD, UNK, vocabulary.bos] + [EOS] * (len(words) == 1)] = -torch.inf
                words.append(int(logits.argmax()))
                if words[-1] == EOS:
                    break
            assert text == vocabulary.decode_batch(np.array([words[1:]]))[0]
            assert text
            lengths.append(len(words))
    assert len(set(lengths)) > 2


def test_an_instruction_is_never_empty(data, examples):
    speaker = speaker_of(data).eval()
    with torch.no_grad():
        speaker.decoder.output.bias[EOS] = 100.0
    batch = examples.batch(np.arange(4))
    written = describe(speaker, data.assets.words, examples.town, batch.nodes, batch.views)
    assert [len(text.split()) for text in written] == [1] * 4


def test_the_writer_goes_on_with_some_rows(data, examples):
    speaker = speaker_of(data).eval()
    batch = examples.batch(np.arange(4))
    with torch.no_grad():
        encoded = speaker.read(*observe_paths(examples.town, batch.nodes, batch.views))
        writer, whole = InstructionWriter(speaker, encoded), InstructionWriter(speaker, encoded)
        first, second = torch.full((4, 1), data.assets.words.bos), torch.tensor([[5], [6], [7], [8]])
        writer.read(first), whole.read(first)
        writer.keep(torch.tensor([3, 1]))
        assert_close(writer.read(second[[3, 1]]), whole.read(second)[[3, 1]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_learns_a_handful_of_instructions(data, examples, variant):
    speaker = speaker_of(data, variant=variant)
    optimiser = torch.optim.Adam(speaker.parameters(), lr=1e-2)
    batch = examples.batch(np.arange(0, 9, 3))
    assert bleu(speaker.eval(), batch) < 20
    speaker.train()
    for _ in range(120):
        loss = teacher_forcing(speaker, batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    terms = teacher_forcing(speaker.eval(), batch)
    assert terms["word_accuracy"] > 0.6
    assert terms["nats_per_word"] < 1.2
    assert bleu(speaker, batch) > 40


def test_terms_count_words_and_whole_instructions(data, examples):
    speaker, batch = speaker_of(data).eval(), examples.batch(np.arange(2))

    class Knows(nn.Module):
        """Right on the first row, and on the first word of the second."""

        def forward(self, actions, panoramas, mask, words):
            logits = F.one_hot(batch.words, data.assets.words.size).float() * 20
            logits[1, 1:] = logits[1, 1:].roll(1, -1)
            return logits

    terms = teacher_forcing(Knows(), batch)
    length = (batch.words[1] != PAD).sum()
    assert_close(terms["word_accuracy"], (1 + 1 / length) / 2)
    assert terms["sentence_accuracy"] == 0.5
    real = teacher_forcing(speaker, batch)
    assert real["loss"] > real["nats_per_word"] > 0


def test_dropout_of_features_spares_the_angles(data):
    speaker = speaker_of(data, feature_dropout=0.5)
    features = torch.ones(4, 3, data.assets.feature_size)
    dropped = speaker.train()._dropped(features)
    size = data.config.view_size
    assert (dropped[..., size:] == 1).all()
    assert set(dropped[..., :size].unique().tolist()) == {0.0, 2.0}
    assert torch.equal(speaker.eval()._dropped(features), features)


def test_environmental_dropout_is_one_draw_for_all_views(data, examples):
    factors = environmental_dropout(0.4, torch.rand(32, generator=torch.Generator().manual_seed(0)))
    assert factors.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    batch = examples.batch(np.arange(3))
    plain = observe_paths(examples.town, batch.nodes, batch.views)
    masked = observe_paths(examples.town, batch.nodes, batch.views, factors)
    for before, after in zip(plain[:2], masked[:2], strict=True):
        assert_close(after[..., :32], before[..., :32] * factors)
        assert torch.equal(after[..., 32:], before[..., 32:])


def test_all_instructions_of_a_path_are_its_references(data, examples):
    table = data.table("train")
    for row in (0, 1, 5, 30):
        mine = [e.instruction for e in table.episodes if e.id.split("_")[0] == table.episodes[row].id.split("_")[0]]
        assert len(examples.references[row]) == len(mine) == 3
        assert examples.references[row][0].replace(" ", "") == mine[0].lower().replace(" ", "")


def test_instructions_that_are_empty_or_long(data):
    town, words, graphs = SpeakerData(data, 80).examples("train").town, data.assets.words, data.graphs
    paths = data.paths("train")

    def walks_of(text):
        return SpeakerExamples.of(InstructedPaths(paths.nodes[:1], paths.headings[:1], [text]), graphs, town, words, 80)

    with pytest.raises(GeneraError, match="is empty"):
        walks_of("  ")
    batch = walks_of("walk to the door . " * 100).batch(np.array([0]))
    assert batch.words.shape == (1, 80)
    assert batch.words[0, -1] == EOS
    assert torch.isfinite(teacher_forcing(speaker_of(data), batch)["loss"])


def test_sampling_needs_its_generator_alone(data, examples):
    speaker = speaker_of(data).eval()
    batch = examples.batch(np.arange(3))
    hot = Decoding(temperature=1.0, max_tokens=6)

    def sampled(seed):
        generator = torch.Generator().manual_seed(seed)
        return describe(
            speaker, data.assets.words, examples.town, batch.nodes, batch.views, decoding=hot, generator=generator
        )

    assert sampled(0) == sampled(0) != sampled(1)
    assert all("<" not in text for text in sampled(0))


def test_the_speaker_searches(data, examples):
    """One beam is greedy; of more beams the best is what the search finds for the path alone."""
    speaker = speaker_of(data).eval()
    batch = examples.batch(np.arange(3))

    def described(rows, **options):
        how = Decoding(max_tokens=6, **options)
        return describe(speaker, data.assets.words, examples.town, batch.nodes[rows], batch.views[rows], decoding=how)

    together = described(slice(None), beams=4)
    assert together == [described(slice(row, row + 1), beams=4)[0] for row in range(3)]
    assert all(text and "<" not in text for text in together)
    writer = InstructionWriter(speaker, speaker.read(*observe_paths(examples.town, batch.nodes, batch.views)))
    start, special = batch.nodes.new_full((3, 1), data.assets.words.bos), {"end": EOS, "pad": PAD}
    forbid = (PAD, UNK, data.assets.words.bos)
    with torch.inference_mode():
        ids, _ = beam_search(writer, start=start, decoding=Decoding(max_tokens=6), forbid=forbid, **special)
    assert data.assets.words.decode_batch(ids[:, 0].numpy()) == described(slice(None))


def test_ranks_share_a_batch_of_walks(data):
    found = SpeakerData(data, 80)
    one = found.stream("train", 8, seed=1)
    two = [found.stream("train", 8, seed=1, rank=rank, ranks=2) for rank in range(2)]
    whole, parts = one.batch(9), [stream.batch(9) for stream in two]
    assert torch.equal(whole.nodes, torch.cat([part.nodes for part in parts]))
    views = views_along(data.graphs, whole.nodes.numpy(), data.paths("train").headings[whole.ids])
    assert torch.equal(whole.views, torch.from_numpy(views))


def test_a_sketch_has_the_shapes_of_a_batch(data):
    batch = sketch(data.assets, 80, 4).to("meta")
    with torch.device("meta"):
        speaker = build_speaker(SMALL, data.assets)
    assert teacher_forcing(speaker, batch)["loss"].shape == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 31}, "hidden must be even"),
        ({"embedding": 0}, "embedding must be at least 1"),
        ({"dropout": 1.0}, "dropout must lie"),
        ({"feature_dropout": -0.1}, "feature-dropout must lie"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"weight_decay": -1.0}, "weight-decay"),
        ({"batch_size": 0}, "batch-size"),
        ({"max_words": 1}, "max-words"),
    ],
)
def test_bad_values_are_named(change, message):
    (complaint,) = dataclasses.replace(SMALL, **change).check()
    assert message in complaint


# -- word vectors -----------------------------------------------------------------------------------------------------


def vectors_of(path, words, size=16):
    path.write_text("".join(f"{word} {' '.join(str(i + k) for k in range(size))}\n" for i, word in enumerate(words, 1)))
    return path


def test_word_vectors_from_a_file_stay_as_they_are(data, examples, tmp_path):
    file = vectors_of(tmp_path / "vectors.txt", ["kitchen", "nowhere", "sofa"])
    config = dataclasses.replace(SMALL, word_vectors=file, variant="follower")
    speaker = speaker_of(data, config)
    load_word_vectors(speaker, file, data.assets.words)
    weight = speaker.decoder.embedding.weight
    place = {word: i for i, word in enumerate(data.assets.words.words)}
    assert weight[place["kitchen"]].tolist() == [float(1 + k) for k in range(16)]
    assert weight[place["sofa"]].tolist() == [float(3 + k) for k in range(16)]
    assert int(weight.any(dim=1).sum()) == 2  # the others are zeros
    before = weight.clone()
    (player,) = speaker_stage(speaker, config, data.assets).players().values()
    teacher_forcing(speaker, examples.batch(np.arange(8)))["loss"].backward()
    player.optimiser.step()
    assert torch.equal(speaker.decoder.embedding.weight, before)
    assert all(p.grad is not None for p in speaker.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("words", "size", "message"),
    [
        (["kitchen"], 5, "has 5 numbers a word; give --speaker.embedding 5, not 16"),
        (["xyzzy"], 16, "for any of the words"),
    ],
)
def test_word_vectors_that_do_not_fit_are_refused(data, tmp_path, words, size, message):
    file = vectors_of(tmp_path / "vectors.txt", words, size)
    with pytest.raises(GeneraError, match=message):
        load_word_vectors(speaker_of(data), file, data.assets.words)
    with pytest.raises(GeneraError, match="nowhere"):
        load_word_vectors(speaker_of(data), tmp_path / "nowhere.txt", data.assets.words)
