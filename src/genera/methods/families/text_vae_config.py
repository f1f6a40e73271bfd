"""What can be chosen in a text VAE of BERT and GPT-2, whatever it is trained for. No torch."""

from dataclasses import dataclass
from typing import Literal

from genera.blocks.size import BERT_BASE, GPT2_BASE, DecoderShape, EncoderShape


@dataclass(frozen=True, kw_only=True)
class TextVaeConfig:
    """The networks of Li et al. 2020: BERT encoder, Gaussian latent, GPT-2 decoder."""

    encoder: EncoderShape = BERT_BASE
    """Size of the BERT encoder; its vocabulary follows the tokeniser."""
    decoder: DecoderShape = GPT2_BASE
    """Size of the GPT-2 decoder; its vocabulary follows the tokeniser."""
    pretrained_encoder: str | None = None
    """BERT weights to begin with: a directory in Hugging Face layout or a hub name [none: random]."""
    pretrained_decoder: str | None = None
    """GPT-2 weights to begin with: a directory in Hugging Face layout or a hub name [none: random]."""
    latent_size: int = 32
    """Dimensions P of the latent z."""
    feature: Literal["pooler", "cls", "mean", "attention"] = "pooler"
    """Sentence feature h: BERT's tanh pooler, the last layer's [CLS], the mean over its tokens, or what learned queries
    read from them by attention."""
    feature_queries: int = 8
    """Learned queries of --feature attention; each gives an equal part of h."""
    injection: Literal["both", "memory", "embedding"] = "both"
    """How the decoder sees z: as one extra key and value in each layer, added to every embedding, or both."""
    memory_slots: int = 1
    """Extra keys and values per layer of the decoder that z gives it (with the injections memory and both)."""
    memory_positions: Literal["first", "none"] = "first"
    """Positions of the decoder's memory slots. first: they take positions 0, 1, …, and the tokens follow, as published.
    none: the tokens start at position 0, as in the decoder's pre-training."""
    latent_init: float = 0.02
    """Standard deviation of the initial weights of the three latent maps."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    @property
    def longest(self) -> int:
        """Tokens that a sentence may have on either side, including begin and end tokens."""
        counted = self.injection != "embedding" and self.memory_positions == "first"
        slots = self.memory_slots - 1 if counted else 0  # one slot takes the place of BOS, which is not predicted
        return min(self.encoder.positions, self.decoder.positions - slots)

    def check_networks(self) -> list[str]:
        """Every complaint about these values, in words."""
        rules = [
            (self.latent_size >= 1, f"--latent-size must be at least 1, got {self.latent_size}"),
            (
                self.feature_queries >= 1 and self.encoder.hidden % max(self.feature_queries, 1) == 0,
                f"--feature-queries must divide the {self.encoder.hidden} units of the encoder, got "
                f"{self.feature_queries}",
            ),
            (self.memory_slots >= 1, f"--memory-slots must be at least 1, got {self.memory_slots}"),
            (
                self.memory_slots == 1 or self.injection != "embedding",
                f"--memory-slots {self.memory_slots} needs --injection memory or both",
            ),
            (
                self.memory_positions == "first" or self.injection != "embedding",
                f"--memory-positions {self.memory_positions} needs --injection memory or both",
            ),
            (self.latent_init > 0, f"--latent-init must be above 0, got {self.latent_init}"),
        ]
        return [complaint for holds, complaint in rules if not holds]
