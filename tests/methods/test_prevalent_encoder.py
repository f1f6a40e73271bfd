"""The encoder against LXMERT's layers of transformers on the same weights, and the names of the released checkpoint."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import LxmertConfig
from transformers.models.lxmert.modeling_lxmert import LxmertForPreTraining

from genera.errors import GeneraError
from genera.methods.prevalent.encoder.config import EncoderConfig
from genera.methods.prevalent.encoder.network import ActionHead, NavigationEncoder, Pretrainer, WordHead
from genera.methods.prevalent.exchange import encoder_slots, head_slots, read_released

VIEW, WORDS = 11, 40
SIZE = EncoderConfig(layers=2, hidden=24, heads=4, feed_forward=40, positions=16, dropout=0.0).sized(WORDS)
CROSS = 3


def network(cross_layers=CROSS, size=SIZE, view_size=VIEW, words=True, actions=True):
    encoder = NavigationEncoder(size, cross_layers, view_size)
    return Pretrainer(encoder, WordHead(size) if words else None, ActionHead(size) if actions else None)


class Oracle(nn.Module):
    """LXMERT's parts, put together as the released code does."""

    def __init__(self) -> None:
        super().__init__()
        config = LxmertConfig(
            vocab_size=WORDS, hidden_size=24, num_attention_heads=4, intermediate_size=40, l_layers=2, x_layers=CROSS,
            r_layers=1, max_position_embeddings=16, visual_feat_dim=VIEW, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, initializer_range=0.3,
        )  # fmt: skip
        whole = LxmertForPreTraining(config)
        self.parts = whole.lxmert
        self.predictions = whole.cls.predictions
        self.action = nn.Linear(24, 36)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))

    def forward(self, tokens, mask, views):
        encoder = self.parts.encoder
        blocked = (1.0 - mask.float())[:, None, None] * -1e9
        text = self.parts.embeddings(tokens, torch.zeros_like(tokens))
        image = encoder.visn_fc.visn_layer_norm(encoder.visn_fc.visn_fc(views))
        for layer in encoder.layer:
            text = layer(text, blocked)[0]
        for layer in encoder.x_layers:
            text, image = layer(text, blocked, image, None)
        return text, self.predictions(text), self.action(self.parts.pooler(text))

    def released(self):
        """The state under the names of the released file."""
        names = {"encoder.layer.": "lalayer.", "encoder.x_layers.": "addlayer.", "encoder.visn_fc.": "vision_encoder."}
        found = {}
        for name, tensor in self.parts.state_dict().items():
            for theirs, ours in names.items():
                if name.startswith(theirs):
                    name = ours + name.removeprefix(theirs)
            if not ("encoder.r_layers" in name or ".box_" in name or "position_ids" in name):
                found[f"bert.{name}"] = tensor
        found |= {f"mlmhead.predictions.{name}": tensor for name, tensor in self.predictions.state_dict().items()}
        found |= {f"next_action.linear.{name}": tensor for name, tensor in self.action.state_dict().items()}
        return {name: tensor.clone() for name, tensor in found.items()}


@pytest.fixture(scope="module")
def oracle():
    torch.manual_seed(0)
    return Oracle()


@pytest.fixture(scope="module")
def released(oracle, tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "model.safetensors"
    save_file(oracle.released(), path)
    return path


def inputs():
    dice = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, WORDS, (3, 7), generator=dice)
    mask = torch.arange(7) < torch.tensor([7, 4, 2])[:, None]
    return tokens * mask, mask, torch.randn(3, 5, VIEW, generator=dice)


# parameters


@pytest.mark.parametrize(
    ("cross_layers", "encoder", "whole"), [(4, 156_050_688, 156_701_022), (3, 139_511_040, 140_161_374)]
)
def test_parameters_of_the_published_sizes(cross_layers, encoder, whole):
    size = EncoderConfig().sized(30_522)
    with torch.device("meta"):
        built = network(cross_layers, size, 2048 + 128)
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in built.named_children()}
    assert count["encoder"] + sum(p.numel() for p in built.actions.pooler.parameters()) == encoder
    assert sum(count.values()) == whole
    assert sum(p.numel() for p in built.encoder.words.blocks[0].parameters()) == 7_087_872
    assert sum(p.numel() for p in built.encoder.layers[0].parameters()) == 16_539_648
    assert sum(p.numel() for m in (built.encoder.view, built.encoder.view_norm) for p in m.parameters()) == 1_673_472
    untrained = [p for p in built.parameters() if not p.requires_grad]
    assert sum(p.numel() for p in untrained) == 7_087_872


def test_all_but_the_last_image_half_get_a_gradient():
    built, (tokens, mask, views) = network(), inputs()
    states = built.encoder(tokens, mask, views)
    (built.words(states, built.encoder.words.tokens.weight).sum() + built.actions(states).sum()).backward()
    dead = {f"encoder.layers.{CROSS - 1}.image.{name}" for name, _ in built.encoder.layers[-1].image.named_parameters()}
    assert {name for name, p in built.named_parameters() if p.grad is None} == dead


# against the second implementation


def test_states_heads_and_gradients_equal_those_of_lxmert(oracle, released):
    built, (tokens, mask, views) = network(), inputs()
    read_released(built, released)
    table = built.encoder.words.tokens.weight
    states = built.encoder(tokens, mask, views)
    ours = states, built.words(states, table), built.actions(states)
    theirs = oracle(tokens, mask, views)
    for own, other in zip(ours[:2], theirs[:2], strict=True):
        assert_close(own[mask], other[mask], atol=2e-5, rtol=1e-4)
    assert_close(ours[2], theirs[2], atol=2e-5, rtol=1e-4)

    weight = torch.randn(3, 36)
    for _, _, actions in (ours, theirs):
        (F.log_softmax(actions, 1) * weight).sum().backward()
    first, last = built.encoder.layers[0], built.encoder.layers[-1]
    their_first, their_last = oracle.parts.encoder.x_layers[0], oracle.parts.encoder.x_layers[-1]
    shared = their_first.visual_attention.att
    fused = torch.cat([part.weight.grad for part in (shared.query, shared.key, shared.value)])
    assert_close(first.attention.qkv.weight.grad, fused, atol=1e-4, rtol=1e-3)
    assert_close(last.text.feed_forward.up.weight.grad, their_last.lang_inter.dense.weight.grad, atol=1e-4, rtol=1e-3)
    assert_close(built.encoder.view.weight.grad, oracle.parts.encoder.visn_fc.visn_fc.weight.grad, atol=1e-4, rtol=1e-3)


def test_padding_changes_nothing(released):
    built, (tokens, mask, views) = network(), inputs()
    read_released(built, released)
    states = built.encoder(tokens, mask, views)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = built.encoder(tokens[row : row + 1, :length], mask[row : row + 1, :length], views[row : row + 1])
        assert_close(states[row, :length], alone[0], atol=1e-5, rtol=1e-4)


def test_the_order_of_views_does_not_matter_and_their_content_does(released):
    built, (tokens, mask, views) = network(), inputs()
    read_released(built, released)
    states = built.encoder(tokens, mask, views)
    assert_close(built.encoder(tokens, mask, views.flip(1)), states, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(built.encoder(tokens, mask, views.roll(1, dims=2)), states, atol=1e-3)


# the released file


def test_every_name_of_the_released_file_is_known_once(released):
    built = network()
    ours = [name for slot in (*encoder_slots(built.encoder), *head_slots(built)) for name in slot.names]
    theirs = {name.removeprefix("bert.") for name in load_file(released)} - {"mlmhead.predictions.decoder.weight"}
    assert sorted(ours) == sorted(theirs)


def test_an_encoder_alone_takes_its_part(released):
    alone, whole = network().encoder, network()
    read_released(alone, released)
    read_released(whole, released)
    for one, other in zip(alone.parameters(), whole.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_network_without_heads_leaves_theirs_aside(released):
    built = network(words=False, actions=False)
    assert built.words is None
    assert built.actions is None
    read_released(built, released)


def test_what_does_not_fit_is_listed_before_anything_is_changed(released, tmp_path):
    tensors = load_file(released)
    del tensors["bert.addlayer.1.visn_inter.dense.bias"]
    tensors["bert.vision_encoder.visn_fc.weight"] = torch.zeros(24, 13)
    tensors["bert.addlayer.9.lang_inter.dense.bias"] = torch.zeros(40)
    save_file(tensors, tmp_path / "other.safetensors")
    built = network()
    before = [p.clone() for p in built.parameters()]
    with pytest.raises(GeneraError) as error:
        read_released(built, tmp_path / "other.safetensors")
    for part in (
        "addlayer.1.visn_inter.dense.bias is missing",
        "visn_fc.weight is (24, 13) instead of (24, 11)",
        "addlayer.9.lang_inter.dense.bias is unknown",
    ):
        assert part in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, built.parameters(), strict=True))


def test_a_pickle_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(GeneraError, match="pickle, which may run any code"):
        read_released(network(), tmp_path / "pytorch_model.bin")
    with pytest.raises(GeneraError, match="does not exist"):
        read_released(network(), tmp_path / "absent.safetensors")


def test_no_cross_layer_is_refused():
    with pytest.raises(GeneraError, match="cross_layers is 0"):
        EncoderConfig(cross_layers=0)


def test_a_text_beyond_the_positions_is_refused():
    with pytest.raises(GeneraError, match="17 tokens exceeds the 16 positions"):
        network().encoder.text(torch.ones(1, 17, dtype=torch.int64), torch.ones(1, 17, dtype=torch.bool))
