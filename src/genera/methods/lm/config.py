"""Configs of the language models. No torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from genera.blocks.layouts import LAYOUTS
from genera.blocks.size import GPT2_BASE, DecoderShape
from genera.data.text.config import PackedDataConfig
from genera.engine.optimiser_config import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class LmConfig(OptimiserConfig):
    """A causal Transformer trained by maximum likelihood, from scratch or from pretrained weights."""

    reads_windows: ClassVar[bool] = True
    """Whether a text with more tokens than positions is scored in several windows."""

    decoder: DecoderShape = GPT2_BASE
    """Size and layout; the vocabulary follows the tokeniser."""
    pretrained_decoder: str | None = None
    """Initial weights, a GPT-2 or a Llama: a directory in Hugging Face layout or a hub name [random]."""
    vocabulary_multiple: int = 1
    """Add unused tokens until the vocabulary is a multiple of this number (Megatron: 128 × tensor-parallel ranks)."""
    position_init: float | None = None
    """Standard deviation of the initial position vectors (gpt2); 0.01 in OpenAI's code [as all other weights]."""
    loss: Literal["token", "sentence"] = "token"
    """Negative log-likelihood per token of the global batch, or per sentence."""
    decayed: Literal["matrices", "all"] = "matrices"
    """Weights that --weight-decay shrinks: matrices (embeddings included) only, or biases and norms too."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    def check(self) -> list[str]:
        learned = LAYOUTS[self.decoder.layout].positions == "learned"
        rules = [
            (
                self.vocabulary_multiple >= 1,
                f"--vocabulary-multiple must be at least 1, got {self.vocabulary_multiple}",
            ),
            (
                self.position_init is None or self.position_init > 0,
                f"--position-init must be above 0, got {self.position_init}",
            ),
            (
                self.position_init is None or learned,
                f"--position-init is for learned positions; the layout {self.decoder.layout} rotates",
            ),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]

    def check_data(self, data: PackedDataConfig) -> list[str]:
        places, positions = "positions of the decoder", self.decoder.positions
        if data.context is not None:
            complaints = [f"--context {data.context} exceeds the {positions} {places}"] * (data.context > positions)
            if self.loss == "sentence":
                complaints.append("--context packs texts into blocks without sentences; use --loss token")
            return complaints
        fits = data.max_tokens <= positions
        return [] if fits else [f"--max-tokens {data.max_tokens} exceeds the {positions} {places}"]


@dataclass(frozen=True, kw_only=True)
class Gpt2LmConfig(LmConfig):
    """GPT-2 as the text VAEs are compared with: one sentence at a time, nats per sentence."""

    reads_windows: ClassVar[bool] = False

    loss: Literal["token", "sentence"] = "sentence"
    """Negative log-likelihood per token of the global batch, or per sentence."""
    decayed: Literal["matrices", "all"] = "all"
    """Weights that --weight-decay shrinks: matrices (embeddings included) only, or biases and norms too."""
