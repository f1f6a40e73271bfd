"""Config of the GPT-2 language model. No torch."""

from dataclasses import dataclass

from genera.blocks.size import GPT2_BASE, DecoderShape
from genera.data.text.config import DataConfig
from genera.engine.optimiser_config import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class Gpt2LmConfig(OptimiserConfig):
    """GPT-2 fine-tuned or trained from scratch, one sentence at a time."""

    decoder: DecoderShape = GPT2_BASE
    """Size of the decoder; its vocabulary follows the tokeniser."""
    pretrained_decoder: str | None = None
    """Initial GPT-2 weights: a directory in Hugging Face layout or a hub name [random]."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    def check_data(self, data: DataConfig) -> list[str]:
        if data.max_tokens <= self.decoder.positions:
            return []
        return [f"--max-tokens {data.max_tokens} exceeds the {self.decoder.positions} positions of the decoder"]
