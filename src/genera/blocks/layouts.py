"""What tells the published transformers apart, as data. No torch."""

from dataclasses import dataclass
from typing import Literal

ROTARY_BASE = 10_000.0
"""As published; models of longer contexts have larger ones."""
BUCKETS, DISTANCE = 32, 128
"""Published sizes of T5's table of relative positions: buckets, and the distance from which all share the last one."""

Activation = Literal["gelu", "gelu-tanh", "relu", "silu"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The parts of a block. One block serves all layouts."""

    name: str
    """as `model_type` in a Hugging Face config.json"""
    norm: Literal["layer", "rms"] = "layer"
    norm_first: bool = True
    """normalise the input of each part (pre-norm) instead of the sum after it (post-norm)"""
    epsilon: float
    """of the norms"""
    positions: Literal["learned", "rotary", "rotary-interleaved", "relative"]
    """learned vectors, rotated queries and keys (halves or neighbours form the pairs), or T5's relative buckets"""
    activation: Activation
    gated: bool = False
    """activation(gate) · up in the feed-forward layers (GEGLU, SwiGLU)"""
    bias: bool = True
    """biases of all projections"""
    scaled: bool = True
    """divide attention scores by the root of the head size"""
    tied: bool = True
    """the output matrix is the token embedding"""
    scaled_output: bool = False
    """divide states by the root of their width before the output matrix"""


BERT = Layout(name="bert", norm_first=False, epsilon=1e-12, positions="learned", activation="gelu")
ROFORMER = Layout(name="roformer", norm_first=False, epsilon=1e-12, positions="rotary-interleaved", activation="gelu")
GPT2 = Layout(name="gpt2", epsilon=1e-5, positions="learned", activation="gelu-tanh")
LLAMA = Layout(
    name="llama", norm="rms", epsilon=1e-6, positions="rotary", activation="silu", gated=True, bias=False, tied=False
)
T5 = Layout(
    name="t5",
    norm="rms",
    epsilon=1e-6,
    positions="relative",
    activation="relu",
    bias=False,
    scaled=False,
    scaled_output=True,
)
MT5 = Layout(
    name="mt5",
    norm="rms",
    epsilon=1e-6,
    positions="relative",
    activation="gelu-tanh",
    gated=True,
    bias=False,
    scaled=False,
    tied=False,
)

LAYOUTS = {layout.name: layout for layout in (BERT, ROFORMER, GPT2, LLAMA, T5, MT5)}
