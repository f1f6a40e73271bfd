"""Names and entries of the Hugging Face layouts, as data. No torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genera.blocks.layouts import BERT, BUCKETS, DISTANCE, GPT2, LLAMA, MT5, ROFORMER, T5, Layout


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a kind of model is stored."""

    layout: Layout
    architecture: str
    """class of transformers that a written folder is for"""
    prefix: str = ""
    """of the names in a written folder"""
    names: Mapping[str, list[str]]
    """our layer, with {} for the number of a block → theirs; several of theirs are concatenated into one of ours"""
    transposed: str = r"(?!)"
    """pattern of their layers whose weights are stored as (in, out), while a linear layer has (out, in)"""
    extras: str = r"(?!)"
    """pattern of names that a bare model does not need: heads, and buffers of old versions"""
    sizes: Mapping[str, str]
    """our size → entry of config.json"""
    dropouts: tuple[str, ...] = ()
    """entries that must agree"""
    implemented: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """other entries, and the values that the blocks implement; the first is the default"""


def _bert_names() -> dict[str, list[str]]:
    layer = "encoder.layer.{}."
    return {
        "tokens": ["embeddings.word_embeddings"],
        "positions": ["embeddings.position_embeddings"],
        "segments": ["embeddings.token_type_embeddings"],
        "norm": ["embeddings.LayerNorm"],
        "blocks.{}.attention.qkv": [f"{layer}attention.self.{part}" for part in ("query", "key", "value")],
        "blocks.{}.attention.out": [f"{layer}attention.output.dense"],
        "blocks.{}.attention_norm": [f"{layer}attention.output.LayerNorm"],
        "blocks.{}.feed_forward.up": [f"{layer}intermediate.dense"],
        "blocks.{}.feed_forward.down": [f"{layer}output.dense"],
        "blocks.{}.feed_forward_norm": [f"{layer}output.LayerNorm"],
        "pooler": ["pooler.dense"],
    }


def _t5_names(gated: bool) -> dict[str, list[str]]:
    up = ["wi_0", "wi_1"] if gated else ["wi"]
    names = {"tokens": ["shared"], "head": ["lm_head"]}
    for ours, theirs, last in (("encoder", "encoder", 1), ("decoder", "decoder", 2)):
        block = f"{theirs}.block.{{}}.layer."
        names |= {
            f"{ours}.{{}}.attention.qkv": [f"{block}0.SelfAttention.{part}" for part in "qkv"],
            f"{ours}.{{}}.attention.out": [f"{block}0.SelfAttention.o"],
            f"{ours}.{{}}.attention_norm": [f"{block}0.layer_norm"],
            f"{ours}.{{}}.feed_forward.up": [f"{block}{last}.DenseReluDense.{part}" for part in up],
            f"{ours}.{{}}.feed_forward.down": [f"{block}{last}.DenseReluDense.wo"],
            f"{ours}.{{}}.feed_forward_norm": [f"{block}{last}.layer_norm"],
            f"{ours}_norm": [f"{theirs}.final_layer_norm"],
            f"{ours}_bias.table": [f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias"],
        }
    block = "decoder.block.{}.layer.1."
    return names | {
        "decoder.{}.cross.qkv": [f"{block}EncDecAttention.{part}" for part in "qkv"],
        "decoder.{}.cross.out": [f"{block}EncDecAttention.o"],
        "decoder.{}.cross_norm": [f"{block}layer_norm"],
    }


_BERT_SIZES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "feed_forward": "intermediate_size",
    "positions": "max_position_embeddings",
    "vocabulary": "vocab_size",
}
_BERT_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
_T5_SIZES = {
    "layers": "num_layers",
    "hidden": "d_model",
    "heads": "num_heads",
    "feed_forward": "d_ff",
    "positions": "n_positions",
    "vocabulary": "vocab_size",
    "head_size": "d_kv",
}
_T5_IMPLEMENTED = {
    "layer_norm_epsilon": (1e-6,),
    "relative_attention_num_buckets": (BUCKETS,),
    "relative_attention_max_distance": (DISTANCE,),
}

FORMATS: dict[str, Format] = {
    "bert": Format(
        layout=BERT,
        architecture="BertModel",
        names=_bert_names(),
        extras=r"cls\..*|pooler\..*|classifier\..*|embeddings\.position_ids",
        sizes=_BERT_SIZES,
        dropouts=_BERT_DROPOUTS,
        implemented={
            "hidden_act": ("gelu",),
            "layer_norm_eps": (1e-12,),
            "position_embedding_type": ("absolute",),
            "type_vocab_size": (2,),
            "is_decoder": (False,),
        },
    ),
    "roformer": Format(
        layout=ROFORMER,
        architecture="RoFormerModel",
        names=_bert_names(),
        extras=r"cls\..*|pooler\..*|classifier\..*|encoder\.embed_positions\.weight",
        sizes=_BERT_SIZES,
        dropouts=_BERT_DROPOUTS,
        implemented={
            "hidden_act": ("gelu",),
            "layer_norm_eps": (1e-12,),
            "rotary_value": (False,),
            "type_vocab_size": (2,),
            "is_decoder": (False,),
        },
    ),
    "gpt2": Format(
        layout=GPT2,
        architecture="GPT2LMHeadModel",
        prefix="transformer.",
        names={
            "tokens": ["wte"],
            "positions": ["wpe"],
            "blocks.{}.attention_norm": ["h.{}.ln_1"],
            "blocks.{}.attention.qkv": ["h.{}.attn.c_attn"],
            "blocks.{}.attention.out": ["h.{}.attn.c_proj"],
            "blocks.{}.feed_forward_norm": ["h.{}.ln_2"],
            "blocks.{}.feed_forward.up": ["h.{}.mlp.c_fc"],
            "blocks.{}.feed_forward.down": ["h.{}.mlp.c_proj"],
            "norm": ["ln_f"],
        },
        transposed=r".*\.c_(attn|proj|fc)",
        extras=r"lm_head\.weight|h\.\d+\.attn\.(masked_)?bias",
        sizes={
            "layers": "n_layer",
            "hidden": "n_embd",
            "heads": "n_head",
            "feed_forward": "n_inner",
            "positions": "n_positions",
            "vocabulary": "vocab_size",
        },
        dropouts=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
        implemented={
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "layer_norm_epsilon": (1e-5,),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
            "tie_word_embeddings": (True,),
        },
    ),
    "llama": Format(
        layout=LLAMA,
        architecture="LlamaForCausalLM",
        prefix="model.",
        names={
            "tokens": ["embed_tokens"],
            "blocks.{}.attention_norm": ["layers.{}.input_layernorm"],
            "blocks.{}.attention.qkv": [f"layers.{{}}.self_attn.{part}_proj" for part in "qkv"],
            "blocks.{}.attention.out": ["layers.{}.self_attn.o_proj"],
            "blocks.{}.feed_forward_norm": ["layers.{}.post_attention_layernorm"],
            "blocks.{}.feed_forward.up": ["layers.{}.mlp.gate_proj", "layers.{}.mlp.up_proj"],
            "blocks.{}.feed_forward.down": ["layers.{}.mlp.down_proj"],
            "norm": ["norm"],
            "head": ["lm_head"],
        },
        extras=r"lm_head\.weight|layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
        sizes=_BERT_SIZES | {"key_value_heads": "num_key_value_heads", "head_size": "head_dim"},
        implemented={
            "hidden_act": ("silu", "swish"),
            "attention_bias": (False,),
            "mlp_bias": (False,),
            "attention_dropout": (0.0,),
            "sliding_window": (None,),
            "pretraining_tp": (1,),
        },
    ),
    "t5": Format(
        layout=T5,
        architecture="T5ForConditionalGeneration",
        names=_t5_names(gated=False),
        extras=r"(encoder|decoder)\.embed_tokens\.weight|"
        r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
        sizes=_T5_SIZES,
        dropouts=("dropout_rate",),
        implemented=_T5_IMPLEMENTED | {"feed_forward_proj": ("relu",)},
    ),
    "mt5": Format(
        layout=MT5,
        architecture="MT5ForConditionalGeneration",
        names=_t5_names(gated=True),
        extras=r"(encoder|decoder)\.embed_tokens\.weight",
        sizes=_T5_SIZES,
        dropouts=("dropout_rate",),
        implemented=_T5_IMPLEMENTED | {"feed_forward_proj": ("gated-gelu",)},
    ),
}
"""model_type → its format"""

NOWHERE: Mapping[str, tuple[Any, ...]] = {
    "sliding_window": (None,),
    "attention_chunk_size": (None,),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "num_local_experts": (None, 0),
    "num_experts": (None, 0),
    "pruned_heads": (None, {}, []),
    "partial_rotary_factor": (None, 1.0),
}
"""Entries of config.json that change what a model computes, in any layout, and the values that ask for nothing"""

_PREFIX = re.compile(r"^(bert|roformer|transformer|model)\.")
_TENSORFLOW = {"gamma": "weight", "beta": "bias"}


def plain(name: str) -> str:
    """Removes the prefix and the TensorFlow names of LayerNorm, which bert-base-cased has on the hub."""
    return re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: f"LayerNorm.{_TENSORFLOW[m[1]]}", _PREFIX.sub("", name))
