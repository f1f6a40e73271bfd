"""Sizes of a transformer. No torch."""

from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar

from genera.blocks.layouts import GPT2, LAYOUTS, Layout
from genera.errors import GeneraError

MOST_LAYERS = 10_000


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """Sizes of a transformer, without the vocabulary. Raises GeneraError for invalid values."""

    layers: int
    """number of blocks"""
    hidden: int
    """width of the states; a multiple of `heads`"""
    heads: int
    """attention heads per block"""
    feed_forward: int
    """inner width of the feed-forward layers"""
    positions: int
    """maximum sequence length in tokens (a memory slot counts as one)"""
    dropout: float = 0.0
    """dropout rate of embeddings, attention and residuals"""
    init: float = 0.02
    """standard deviation of initial weights; narrow models trained from scratch learn faster near 1/sqrt(hidden)"""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type is int and getattr(self, field.name) < 1:
                raise GeneraError(f"{field.name} is {getattr(self, field.name)}; a transformer needs at least 1.")
        if self.layers > MOST_LAYERS:
            raise GeneraError(f"layers is {self.layers}; a transformer has at most {MOST_LAYERS:,}.")
        if getattr(self, "head_size", None) is None and self.hidden % self.heads:
            raise GeneraError(
                f"hidden size {self.hidden} does not split into {self.heads} heads; "
                f"use a multiple, such as {self.heads * max(1, round(self.hidden / self.heads))}."
            )
        if self.init <= 0:
            raise GeneraError(f"init is {self.init}; it must be a standard deviation above 0.")
        if not 0 <= self.dropout < 1:
            raise GeneraError(f"dropout is {self.dropout}; it must be a probability, 0 <= dropout < 1.")

    def sized(self, vocabulary: int) -> "TransformerSize":
        """This shape for a tokeniser of `vocabulary` ids."""
        values = {field.name: getattr(self, field.name) for field in fields(TransformerShape)}
        return TransformerSize(**values, vocabulary=vocabulary)


@dataclass(frozen=True, kw_only=True)
class EncoderShape(TransformerShape):
    """Sizes and layout of an encoder."""

    layout: Literal["bert", "roformer"] = "bert"
    """bert: learned positions. roformer: rotary positions (Su et al. 2021)."""

    def sized(self, vocabulary: int) -> "TransformerSize":
        """This shape and layout for a tokeniser of `vocabulary` ids."""
        return replace(super().sized(vocabulary), layout=LAYOUTS[self.layout])


@dataclass(frozen=True, kw_only=True)
class DecoderShape(TransformerShape):
    """Sizes and layout of a decoder."""

    layout: Literal["gpt2", "llama"] = "gpt2"
    """gpt2: LayerNorm, learned positions, GELU. llama: RMSNorm, rotary positions, SwiGLU, no biases."""
    key_value_heads: int | None = None
    """heads of keys and values, each shared by heads / key_value_heads queries [heads]"""
    head_size: int | None = None
    """width of a head [hidden / heads]"""
    rotary_base: float | None = None
    """base of the rotary angles (llama) [10,000]"""
    epsilon: float | None = None
    """epsilon of the norms [gpt2 1e-5, llama 1e-6]"""
    tied: bool | None = None
    """whether the output matrix is the token embedding [gpt2 yes, llama no]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rotary_base is not None and LAYOUTS[self.layout].positions == "learned":
            raise GeneraError(f"rotary_base is for rotary positions; the layout {self.layout} learns its positions.")
        _check_heads(self.heads, self.key_value_heads, self.head_size)

    def sized(self, vocabulary: int) -> "TransformerSize":
        """This shape and layout for a tokeniser of `vocabulary` ids."""
        layout = LAYOUTS[self.layout]
        if self.epsilon is not None:
            layout = replace(layout, epsilon=self.epsilon)
        if self.tied is not None:
            layout = replace(layout, tied=self.tied)
        return replace(
            super().sized(vocabulary),
            layout=layout,
            key_value_heads=self.key_value_heads,
            head_size=self.head_size,
            rotary_base=self.rotary_base,
        )


@dataclass(frozen=True, kw_only=True)
class TransformerSize(TransformerShape):
    """Sizes of a transformer, including the vocabulary size of its tokeniser, and its layout."""

    vocabulary: int
    """token ids 0 .. vocabulary - 1"""
    layout: Layout | None = None
    """None: BERT for an encoder, GPT-2 for a decoder"""
    key_value_heads: int | None = None
    """None: as many as heads"""
    head_size: int | None = None
    """None: hidden / heads"""
    rotary_base: float | None = None
    """None: 10,000"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_heads(self.heads, self.key_value_heads, self.head_size)

    @property
    def groups(self) -> int:
        """Number of key and value heads."""
        return self.key_value_heads or self.heads

    @property
    def width(self) -> int:
        """Width of a head."""
        return self.head_size or self.hidden // self.heads

    @property
    def projected_rows(self) -> list[int]:
        """Widths of queries, keys and values, all heads together."""
        return [self.heads * self.width, self.groups * self.width, self.groups * self.width]

    @property
    def shape(self) -> TransformerShape:
        """This size without the vocabulary, as a method's config has it."""
        values = {field.name: getattr(self, field.name) for field in fields(TransformerShape)}
        name = (self.layout or GPT2).name
        if name in ("bert", "roformer"):
            return EncoderShape(**values, layout=name)  # type: ignore[arg-type]
        if self.layout is None or name not in ("gpt2", "llama"):
            return TransformerShape(**values)
        usual = LAYOUTS[name]
        return DecoderShape(
            **values,
            layout=name,  # type: ignore[arg-type]
            key_value_heads=self.key_value_heads,
            head_size=self.head_size,
            rotary_base=self.rotary_base,
            epsilon=None if self.layout.epsilon == usual.epsilon else self.layout.epsilon,
            tied=None if self.layout.tied == usual.tied else self.layout.tied,
        )


@dataclass(frozen=True, kw_only=True)
class T5Size(TransformerSize):
    """Sizes of an encoder with a decoder; `layers` are the encoder's."""

    decoder_layers: int
    """number of the decoder's blocks"""


def _check_heads(heads: int, key_value_heads: int | None, head_size: int | None) -> None:
    if key_value_heads is not None and (key_value_heads < 1 or heads % key_value_heads):
        raise GeneraError(f"key_value_heads is {key_value_heads}; it must divide the {heads} heads.")
    if head_size is not None and (head_size < 2 or head_size % 2):
        raise GeneraError(f"head_size is {head_size}; it must be even and at least 2.")


BERT_BASE = EncoderShape(layers=12, hidden=768, heads=12, feed_forward=3072, positions=512, dropout=0.1)
GPT2_BASE = DecoderShape(layers=12, hidden=768, heads=12, feed_forward=3072, positions=1024, dropout=0.1)
BERT_BASE_CASED = BERT_BASE.sized(28_996)
GPT2_SMALL = GPT2_BASE.sized(50_257)

Shape = TypeVar("Shape", bound=TransformerShape)


def from_scratch(shape: type[Shape], *, layers: int, hidden: int, heads: int, positions: int) -> Shape:
    """A small model to train from scratch: feed_forward = 4 x hidden, no dropout, init = 1/sqrt(hidden)."""
    return shape(
        layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden, positions=positions, init=hidden**-0.5
    )


NANO_ENCODER = from_scratch(EncoderShape, layers=2, hidden=64, heads=4, positions=128)
NANO_DECODER = from_scratch(DecoderShape, layers=2, hidden=64, heads=4, positions=128)
SMALL_ENCODER = from_scratch(EncoderShape, layers=4, hidden=256, heads=8, positions=256)
SMALL_DECODER = from_scratch(DecoderShape, layers=4, hidden=256, heads=8, positions=256)
