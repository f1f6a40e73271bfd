"""Sizes of a transformer: plain values, so that a config needs no torch."""

from dataclasses import dataclass, fields

from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """What can be chosen of a transformer. Raises GeneraError where the numbers do not make one."""

    layers: int
    """blocks"""
    hidden: int
    """width of the states; a multiple of `heads`"""
    heads: int
    """attention heads a block"""
    feed_forward: int
    """inner width of the feed-forward layers"""
    positions: int
    """longest sequence, in tokens (a memory slot takes one)"""
    dropout: float = 0.0
    """probability to drop, in 0 .. 1, one rate for embeddings, attention and residuals"""
    init: float = 0.02
    """standard deviation of initial matrices; narrow models from scratch learn faster near 1/sqrt(hidden)"""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type is int and getattr(self, field.name) < 1:
                raise GeneraError(f"{field.name} is {getattr(self, field.name)}; a transformer needs at least 1.")
        if self.hidden % self.heads:
            raise GeneraError(
                f"hidden size {self.hidden} does not split into {self.heads} heads; "
                f"take a multiple, such as {self.heads * max(1, round(self.hidden / self.heads))}."
            )
        if self.init <= 0:
            raise GeneraError(f"init is {self.init}; a standard deviation above 0 is needed.")
        if not 0 <= self.dropout < 1:
            raise GeneraError(f"dropout is {self.dropout}; it is a probability, 0 <= dropout < 1.")

    def sized(self, vocabulary: int) -> "TransformerSize":
        """This shape for a tokeniser of `vocabulary` ids."""
        values = {field.name: getattr(self, field.name) for field in fields(TransformerShape)}
        return TransformerSize(**values, vocabulary=vocabulary)


@dataclass(frozen=True, kw_only=True)
class TransformerSize(TransformerShape):
    """All that a network needs to be built: a shape, and the vocabulary that follows from its tokeniser."""

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
    """A small model for a tokeniser trained on the corpus: four times as wide inside, no dropout, a livelier start."""
    return TransformerShape(
        layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden, positions=positions, init=hidden**-0.5
    )


NANO = from_scratch(layers=2, hidden=64, heads=4, positions=128)
SMALL = from_scratch(layers=4, hidden=256, heads=8, positions=256)
