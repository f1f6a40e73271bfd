"""What can be chosen in the GPT-2 language model. No torch."""

from dataclasses import dataclass

from genera.blocks.size import GPT2_SMALL, TransformerSize


@dataclass(frozen=True, kw_only=True)
class Gpt2LmConfig:
    """GPT-2 fine-tuned or trained from scratch, one sentence at a time."""

    decoder: TransformerSize = GPT2_SMALL
    """Size of the decoder; its vocabulary follows the tokeniser."""
    pretrained_decoder: str | None = None
    """GPT-2 weights to begin with: a directory in Hugging Face layout or a hub name [none: random]."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    lr: float = 5e-5
    """Peak learning rate of AdamW."""
    warmup: int = 0
    """Steps of linear warm-up, before the linear decay to zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""

    def check(self) -> list[str]:
        rules = [
            (self.lr > 0, f"--lr must be above 0, got {self.lr}"),
            (self.warmup >= 0, f"--warmup must be 0 or above, got {self.warmup}"),
            (self.weight_decay >= 0, f"--weight-decay must be 0 or above, got {self.weight_decay}"),
        ]
        return [complaint for holds, complaint in rules if not holds]
