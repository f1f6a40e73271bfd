"""Sizes of a transformer. No torch."""

from dataclasses import dataclass, fields

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
        if self.hidden % self.heads:
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
class TransformerSize(TransformerShape):
    """Sizes of a transformer, including the vocabulary size of its tokeniser."""

    vocabulary: int
    """token ids 0 .. vocabulary - 1"""

    @property
    def shape(self) -> TransformerShape:
        """This size without the vocabulary."""
        return TransformerShape(**{field.name: getattr(self, field.name) for field in fields(TransformerShape)})


BERT_BASE = TransformerShape(layers=12, hidden=768, heads=12, feed_forward=3072, positions=512, dropout=0.1)
GPT2_BASE = TransformerShape(layers=12, hidden=768, heads=12, feed_forward=3072, positions=1024, dropout=0.1)
BERT_BASE_CASED = BERT_BASE.sized(28_996)
GPT2_SMALL = GPT2_BASE.sized(50_257)


def from_scratch(*, layers: int, hidden: int, heads: int, positions: int) -> TransformerShape:
    """A small model to train from scratch: feed_forward = 4 x hidden, no dropout, init = 1/sqrt(hidden)."""
    return TransformerShape(
        layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden, positions=positions, init=hidden**-0.5
    )


NANO = from_scratch(layers=2, hidden=64, heads=4, positions=128)
SMALL = from_scratch(layers=4, hidden=256, heads=8, positions=256)
