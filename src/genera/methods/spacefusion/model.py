"""What SpaceFusion adds to a text VAE: last encoder layers of their own for contexts."""

from copy import deepcopy

from torch import Tensor, nn

from genera.methods.families.text_vae import TextVae


class ContextLayers(nn.Module):
    """Copies of the last encoder layers of `vae`, which read contexts in the place of those."""

    def __init__(self, vae: TextVae, count: int) -> None:
        super().__init__()
        blocks = vae.encoder.blocks
        self.blocks = deepcopy(blocks.part(slice(len(blocks) - count, None)))

    def copy(self, vae: TextVae) -> None:
        """Begin as the layers of `vae` are now."""
        for block, pretrained in zip(reversed(self.blocks), reversed(vae.encoder.blocks), strict=False):
            block.load_state_dict(pretrained.state_dict())

    def forward(self, vae: TextVae, ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """ids and segments (B, C) → mean and log variance of q(z|context), each (B, P)."""
        mask = ids != vae.encoder_pad
        return vae.posterior(vae.summary(vae.encoder.forward_with(self.blocks, ids, mask, segments), mask))


def freeze_shared(vae: TextVae, last: int) -> None:
    """Leave the encoder as it is, but for its `last` layers and its pooler."""
    vae.encoder.requires_grad_(False)
    vae.encoder.blocks.part(slice(len(vae.encoder.blocks) - last, None)).requires_grad_(True)
    if vae.encoder.pooler is not None:
        vae.encoder.pooler.requires_grad_(True)
