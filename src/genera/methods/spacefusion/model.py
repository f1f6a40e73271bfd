"""The network of SpaceFusion: a text VAE whose encoder reads contexts with last layers of their own."""

from copy import deepcopy

from torch import Tensor

from genera.blocks.text_vae import TextVae
from genera.blocks.transformer import Stack
from genera.methods.spacefusion.config import SpaceFusionConfig


class DialogueNetwork(TextVae):
    """Shapes as in `TextVae`; C tokens of a context."""

    config: SpaceFusionConfig

    def __init__(self, config: SpaceFusionConfig, *sizes: object, **pads: int) -> None:
        super().__init__(config, *sizes, **pads)  # type: ignore[arg-type]
        own = self.encoder.blocks[len(self.encoder.blocks) - config.context_layers :]
        self.context_blocks: Stack = deepcopy(own)
        self.context_blocks.checkpointing = config.checkpointing
        if config.freeze_shared:
            self.encoder.requires_grad_(False)
            own.requires_grad_(True)
            if self.encoder.pooler is not None:
                self.encoder.pooler.requires_grad_(True)

    def copy_context_blocks(self) -> None:
        """Begin the contexts' own layers as copies of the responses'."""
        count = len(self.context_blocks)
        if count:
            self.context_blocks.load_state_dict(self.encoder.blocks[-count:].state_dict())

    def encode_context(self, ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """ids and segments (B, C) → mean and log variance of q(z|context), each (B, P)."""
        mask = ids != self.encoder_pad
        states = self.encoder.forward_with(self.context_blocks, ids, mask, segments)
        return self.posterior(self.summary(states, mask))
