"""Each layout equals transformers on random weights, in states, logits and gradients, cached and after a round trip."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from genera.blocks import masks
from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import (
    DECODERS,
    ENCODERS,
    PAIRS,
    export_weights,
    load_weights,
    read_size,
    write_folder,
)
from genera.blocks.size import DecoderShape, T5Size
from genera.blocks.t5 import T5
from genera.errors import GeneraError

IDS = torch.randint(3, 50, (3, 7), generator=torch.Generator().manual_seed(1))
LENGTHS = torch.tensor([7, 3, 1])
MASK = torch.arange(7) < LENGTHS[:, None]

BERT_SIZES = {
    "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
}  # fmt: skip
LLAMA_SIZES = {
    "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 16, "initializer_range": 0.3, "attention_dropout": 0.0,
}  # fmt: skip
LLAMAS = {
    "grouped": {"num_key_value_heads": 2},
    "multi-query": {"num_key_value_heads": 1, "tie_word_embeddings": True, "rms_norm_eps": 1e-5},
    "ungrouped": {"num_key_value_heads": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "wide heads": {"num_key_value_heads": 2, "head_dim": 10},
}
T5_SIZES = {
    "vocab_size": 50, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
    "dropout_rate": 0.0, "decoder_start_token_id": 0,
}  # fmt: skip


def jittered(model: torch.nn.Module) -> torch.nn.Module:
    """Biases and norms start at 0 and 1, where a mix-up of two of them would not show."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def untied(model: torch.nn.Module) -> torch.nn.Module:
    """With an output matrix of its own, as the published mT5 has."""
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    return model


def assert_same_gradients(ours: torch.nn.Module, oracle: torch.nn.Module) -> None:
    """After a backward pass of each."""
    wanted = {name: p.grad for name, p in oracle.named_parameters() if p.grad is not None}
    for parameter in ours.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad
    gradients = export_weights(ours)
    prefix = next((p for p in ("model.", "") if any(n.startswith(p) for n in wanted)), "")
    plain = {name if name.startswith("lm_head") else name.removeprefix(prefix): grad for name, grad in wanted.items()}
    assert gradients.keys() == plain.keys()
    for name, gradient in plain.items():
        assert_close(gradients[name], gradient, atol=5e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_roformer_equals_transformers(tmp_path: Path) -> None:
    oracle = jittered(transformers.RoFormerModel(transformers.RoFormerConfig(**BERT_SIZES)))
    oracle.save_pretrained(tmp_path)
    ours = Bert(read_size(tmp_path, ENCODERS))
    load_weights(ours, tmp_path)
    states, theirs = ours(IDS, MASK), oracle(IDS, attention_mask=MASK.long()).last_hidden_state
    assert_close(states[MASK], theirs[MASK], atol=1e-5, rtol=1e-5)
    states[MASK].square().sum().backward()
    theirs[MASK].square().sum().backward()
    assert_same_gradients(ours, oracle)


def test_rotary_positions_are_relative() -> None:
    """Scores depend on distances alone: tokens moved along the sequence have the same states."""
    ours = Decoder(DecoderShape(layers=2, hidden=16, heads=2, feed_forward=32, positions=32, layout="llama").sized(50))
    memory = torch.zeros(3, 2, 2, 5, 8)  # 5 slots that every token sees alike
    moved = Decoder(ours.size, memory_has_position=False)
    moved.load_state_dict(ours.state_dict())
    zero = ours(IDS, memory=memory) - moved(IDS, memory=memory)
    assert zero.abs().max() < 1e-5


@pytest.mark.parametrize("variant", LLAMAS)
def test_llama_equals_transformers(variant: str, tmp_path: Path) -> None:
    oracle = jittered(transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_SIZES | LLAMAS[variant])))
    oracle.save_pretrained(tmp_path)
    ours = Decoder(read_size(tmp_path, DECODERS))
    load_weights(ours, tmp_path)
    logits, theirs = ours.logits(ours(IDS)), oracle(IDS).logits
    assert_close(logits, theirs, atol=2e-5, rtol=1e-5)
    logits.square().mean().backward()
    theirs.square().mean().backward()
    assert_same_gradients(ours, oracle)


@pytest.fixture
def llama(tmp_path: Path) -> Decoder:
    oracle = jittered(transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_SIZES | LLAMAS["grouped"])))
    oracle.save_pretrained(tmp_path / "oracle")
    model = Decoder(read_size(tmp_path / "oracle", DECODERS))
    load_weights(model, tmp_path / "oracle")
    return model.eval()


@pytest.mark.parametrize("has_position", [True, False])
@pytest.mark.parametrize("slots", [0, 1, 3])
def test_a_cached_llama_equals_an_uncached_one(llama: Decoder, slots: int, has_position: bool) -> None:
    llama.memory_has_position = has_position
    memory = torch.randn(3, 3, 2, slots, 6) if slots else None
    whole = llama(IDS, memory=memory)
    cache = llama.cache(3, 7, memory)
    parts = [llama(part, cache=cache) for part in (IDS[:, :3], IDS[:, 3:4], IDS[:, 4:])]
    assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    changed = IDS.clone()
    changed[:, 5] += 1
    assert torch.equal(llama(changed, memory=memory)[:, :5], whole[:, :5])  # causal


def test_memory_of_a_llama_is_keys_and_values_as_they_are(llama: Decoder) -> None:
    """A memory of the keys and values of a first token, which position 0 does not rotate, replaces that token."""
    block = llama.blocks[0]
    single = Decoder(DecoderShape(layers=1, hidden=24, heads=4, feed_forward=40, positions=16, layout="llama",
                                  key_value_heads=2).sized(50))  # fmt: skip
    single.load_state_dict(
        {**single.state_dict(), **{k: v for k, v in llama.state_dict().items() if "blocks" not in k}}
    )
    single.blocks[0].load_state_dict(block.state_dict())
    keys, values = single.blocks[0].attention.keys_values(single.blocks[0].attention_norm(single.tokens(IDS[:, :1])))
    by_cache = single.cache(3, 7)
    by_cache[0].append(keys, values)
    expected = single(IDS)[:, 1:]
    assert_close(single(IDS[:, 1:], cache=by_cache), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", PAIRS)
def test_t5_equals_transformers(kind: str, tmp_path: Path) -> None:
    classes = {
        "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration, {}),
        "mt5": (transformers.MT5Config, transformers.MT5ForConditionalGeneration, {"feed_forward_proj": "gated-gelu"}),
    }
    config, model, extra = classes[kind]
    oracle = jittered(model(config(**T5_SIZES | extra)))
    if kind == "mt5":
        untied(oracle)
    oracle.save_pretrained(tmp_path)
    size = read_size(tmp_path, PAIRS)
    assert isinstance(size, T5Size)
    ours = T5(size).eval()
    load_weights(ours, tmp_path)
    outputs = torch.randint(3, 50, (3, 5), generator=torch.Generator().manual_seed(2))
    encoded = ours.encode(IDS, MASK)
    logits = ours.logits(ours(outputs, encoded, MASK))
    theirs = oracle(input_ids=IDS, attention_mask=MASK.long(), decoder_input_ids=outputs).logits
    assert_close(logits, theirs, atol=2e-5, rtol=1e-4)
    logits.square().mean().backward()
    theirs.square().mean().backward()
    assert_same_gradients(ours, oracle)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_cached_t5_equals_an_uncached_one(kind: str) -> None:
    from genera.blocks.layouts import LAYOUTS

    size = T5Size(
        layers=2, hidden=24, heads=4, head_size=8, feed_forward=40, positions=512, vocabulary=50, decoder_layers=3,
        layout=LAYOUTS[kind], init=0.3,
    )  # fmt: skip
    ours = T5(size).eval()
    long = torch.randint(3, 50, (2, 200), generator=torch.Generator().manual_seed(2))  # beyond the exact buckets
    encoded = ours.encode(IDS[:2], MASK[:2])
    whole = ours(long, encoded, MASK[:2])
    cache, projected = ours.cache(2, 200), ours.project(encoded)
    parts = [ours(part, projected, MASK[:2], cache=cache) for part in long.split([150, 1, 49], 1)]
    assert_close(torch.cat(parts, 1), whole, atol=1e-4, rtol=1e-4)


def folders(tmp_path: Path) -> dict[str, tuple[torch.nn.Module, tuple[str, ...]]]:
    return {
        "roformer": (transformers.RoFormerModel(transformers.RoFormerConfig(**BERT_SIZES)), ENCODERS),
        "llama": (transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_SIZES)), DECODERS),
        "t5": (transformers.T5ForConditionalGeneration(transformers.T5Config(**T5_SIZES)), PAIRS),
        "mt5": (untied(transformers.MT5ForConditionalGeneration(transformers.MT5Config(**T5_SIZES))), PAIRS),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["roformer", "llama", "t5", "mt5"])
def test_a_written_folder_is_read_by_transformers(kind: str, tmp_path: Path) -> None:
    oracle, kinds = folders(tmp_path)[kind]
    jittered(oracle).save_pretrained(tmp_path / "theirs")
    size = read_size(tmp_path / "theirs", kinds)
    build = {ENCODERS: Bert, DECODERS: Decoder, PAIRS: T5}[kinds]
    model = build(size)
    load_weights(model, tmp_path / "theirs")
    write_folder(model, tmp_path / "ours", pad_token_id=0)
    assert read_size(tmp_path / "ours", kinds) == size
    again, loading = type(oracle).from_pretrained(tmp_path / "ours", output_loading_info=True)
    computed = {"encoder.embed_positions.weight"}  # RoFormer's angles
    assert not {*loading["missing_keys"], *loading["unexpected_keys"], *loading["mismatched_keys"]} - computed
    expected = oracle.state_dict()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}, "type 'yarn'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": None}, "type 'linear'"),
        ({"sliding_window": 128}, "sliding_window is 128"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"num_key_value_heads": 3}, "must divide the 4 heads"),
        ({"model_type": "mistral"}, "'mistral'; expected 'gpt2' or 'llama'"),
    ],
)
def test_what_the_block_does_not_do_is_named(change: dict[str, object], named: str, tmp_path: Path) -> None:
    transformers.LlamaConfig(**LLAMA_SIZES).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(GeneraError, match=named):
        read_size(tmp_path, DECODERS)


CONFIGS = {
    "bert": (transformers.BertConfig, ENCODERS),
    "roformer": (transformers.RoFormerConfig, ENCODERS),
    "gpt2": (transformers.GPT2Config, DECODERS),
    "llama": (transformers.LlamaConfig, DECODERS),
    "t5": (transformers.T5Config, PAIRS),
    "mt5": (transformers.MT5Config, PAIRS),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_layout_names_what_it_does_not_do(kind: str, tmp_path: Path) -> None:
    theirs, kinds = CONFIGS[kind]
    config = theirs().to_dict() | ({"tie_word_embeddings": False} if kind in ("t5", "mt5") else {})
    path, plain = tmp_path / "config.json", {"model_type": kind}
    for change, named in (
        ({"sliding_window": 128}, "sliding_window is 128; only None is implemented"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types has 'sliding_attention'"),
        ({"rope_scaling": {"rope_type": "dynamic"}}, "rope_scaling asks for rotary positions of type 'dynamic'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_parameters asks for rotary positions of type 'llama3'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5; only 1.0"),
        ({"partial_rotary_factor": 0.25}, "partial_rotary_factor is 0.25"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"num_local_experts": 8}, "num_local_experts is 8"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"embedding_size": 7}, "embedding_size is 7"),
        ({"rope_scaling": [1]}, "rope_scaling is a list"),
    ):
        path.write_text(json.dumps(config | plain | change))
        with pytest.raises(GeneraError, match=re.escape(named)):
            read_size(tmp_path, kinds)
    if kinds != PAIRS:  # which also read the names of the weights
        path.write_text(json.dumps(config | plain | {"sliding_window": 128, "use_sliding_window": False}))
        assert read_size(tmp_path, kinds).layout.name == kind


def test_weights_in_integers_are_refused(llama: Decoder, tmp_path: Path) -> None:
    tensors = load_file(tmp_path / "oracle/model.safetensors")
    tensors["model.norm.weight"] = (tensors["model.norm.weight"] * 10).to(torch.int8)
    save_file(tensors, tmp_path / "oracle/model.safetensors")
    with pytest.raises(GeneraError, match=r"do not fit.*: norm\.weight is stored as I8 \(quantised\?\)"):
        load_weights(llama, tmp_path / "oracle")


def test_llama_fields_of_another_layout_are_refused() -> None:
    sizes = {"layers": 1, "hidden": 8, "heads": 2, "feed_forward": 8, "positions": 8}
    with pytest.raises(GeneraError, match="rotary_base is for rotary positions"):
        DecoderShape(**sizes, rotary_base=500.0)
    with pytest.raises(GeneraError, match="must divide"):
        DecoderShape(**sizes, layout="llama", key_value_heads=3)
    with pytest.raises(GeneraError, match="head_size"):
        DecoderShape(**sizes, layout="llama", head_size=3)


def test_shape_and_size_say_the_same() -> None:
    shape = DecoderShape(
        layers=1, hidden=8, heads=2, feed_forward=8, positions=8, layout="llama", key_value_heads=1, tied=True,
        rotary_base=5e5, epsilon=1e-5, head_size=6,
    )  # fmt: skip
    assert shape.sized(9).shape == shape


def test_grouped_queries_equal_repeated_keys() -> None:
    """Grouped attention against one in which each key and value head is written out for all its queries."""
    size = DecoderShape(layers=1, hidden=24, heads=4, feed_forward=8, positions=16, layout="llama", key_value_heads=2)
    grouped = Decoder(size.sized(50))
    from dataclasses import replace

    whole = Decoder(replace(size, key_value_heads=None).sized(50))
    whole.load_state_dict({**whole.state_dict(), **{n: t for n, t in grouped.state_dict().items() if "qkv" not in n}})
    with torch.no_grad():
        q, k, v = grouped.blocks[0].attention.qkv.weight.split([24, 12, 12])
        twice = [part.view(2, 1, 6, 24).expand(2, 2, 6, 24).reshape(24, 24) for part in (k, v)]
        whole.blocks[0].attention.qkv.weight.copy_(torch.cat([q, *twice]))
    assert_close(grouped(IDS), whole(IDS), atol=1e-6, rtol=1e-5)


def test_prefix_masks_work_with_rotary_positions(llama: Decoder) -> None:
    x = llama.tokens(IDS)
    turn = llama._rotation(0, 7, x)
    mask = masks.prefix(torch.tensor([3, 3, 3]), 7)[:, None]
    out: Tensor = llama.blocks(x, mask=mask, rotation=turn)
    changed = x.clone()
    changed[:, 2] += 1
    assert not torch.equal(llama.blocks(changed, mask=mask, rotation=turn)[:, 0], out[:, 0])  # within the prefix
    changed = x.clone()
    changed[:, 5] += 1
    assert torch.equal(llama.blocks(changed, mask=mask, rotation=turn)[:, :5], out[:, :5])
