"""Our dictionary beside that of vector-quantize-pytorch."""

import pytest
import torch

from genera.blocks.quantiser import FeatureQuantiser
from genera.blocks.quantiser_config import QuantiserConfig
from small_quantisers import features


def test_codes_losses_and_gradients_are_those_of_vector_quantize_pytorch():
    """With their start (`ones`) and without their revival, over several updates."""
    peer = pytest.importorskip(
        "vector_quantize_pytorch", reason="an oracle of the extra dev: pip install vector-quantize-pytorch"
    )
    theirs = peer.VectorQuantize(
        6, 10, decay=0.7, commitment_weight=2.0, threshold_ema_dead_code=0, accept_image_fmap=True, rotation_trick=False
    )
    ours = FeatureQuantiser(6, 10, QuantiserConfig(decay=0.7, weight=2.0, mode="quantize", ema="ones"))
    first = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
    for buffer in (ours.codes, ours.sums, theirs._codebook.embed, theirs._codebook.embed_avg):
        buffer.data.copy_(first.view_as(buffer))
    upstream = torch.randn(4, 6, 4, 4)
    for seed in range(5):
        h = [features(channels=6, seed=seed).requires_grad_() for _ in range(2)]
        shown, index, loss = theirs(h[0])
        out = ours(h[1])
        assert torch.equal(ours.indices, index)
        torch.testing.assert_close(out, shown)
        torch.testing.assert_close(ours.commitment.mean(), loss.squeeze())
        ((shown * upstream).sum() + loss.sum()).backward()
        ((out * upstream).sum() + ours.commitment.mean()).backward()
        torch.testing.assert_close(h[1].grad, h[0].grad)
        ours.commit()
        torch.testing.assert_close(ours.codes, theirs._codebook.embed[0])
