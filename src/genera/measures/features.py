"""Features of images for FID and similar measures, from any callable or from the FID Inception, with a cache."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from genera.blocks.inception import FidInception
from genera.console import track
from genera.data.cache import build_once, cache_folder
from genera.errors import GeneraError

TORCHSCRIPT_INCEPTION = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""sha256 of inception-2015-12-05.pt, the TorchScript file that NVIDIA publishes with StyleGAN2-ADA and later."""

AT_ONCE = 256


@dataclass(frozen=True)
class Extractor:
    """A feature extractor."""

    name: str
    """Name in reports: FIDs of different extractors are not comparable."""
    features: Callable[[Tensor], Tensor]
    """(B, C, H, W) uint8, 0..255 → (B, D)"""
    logits: Callable[[Tensor], Tensor] | None = None
    """(B, C, H, W) uint8 → (B, classes), for the inception score"""
    key: str = ""
    """Cache key of the features; empty: do not cache."""
    device: str | torch.device = "cpu"


@torch.no_grad()
def extract(
    apply: Callable[[Tensor], Tensor], images: NDArray[np.uint8] | Tensor, *, device: Any = "cpu", batch: int = AT_ONCE
) -> Tensor:
    """`apply` on images (N, C, H, W) uint8, a batch at a time → (N, D) float32 on the CPU.

    Raises GeneraError for images that are not uint8, and for features that are not finite or not (N, D).
    """
    if images.dtype not in (np.uint8, torch.uint8) or images.ndim != 4:
        raise GeneraError(f"images must be uint8 (N, C, H, W), got {images.dtype} {tuple(images.shape)}.")
    parts = []
    starts = range(0, len(images), batch)
    for first in track(starts, "extracting features", len(starts)):
        part = images[first : first + batch]
        tensor = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))
        features = apply(tensor.to(device)).float().cpu()
        if features.ndim != 2 or len(features) != len(tensor):
            raise GeneraError(f"an extractor must give (images, features), got {tuple(features.shape)}.")
        if not torch.isfinite(features).all():
            row = int((~torch.isfinite(features).all(1)).nonzero()[0]) + first
            raise GeneraError(f"features of image {row} are not finite (NaN or infinite); check it and the network.")
        parts.append(features)
    if not parts:
        raise GeneraError("there are no images to extract features from; give at least one.")
    return torch.cat(parts)


def cached_features(extractor: Extractor, images: NDArray[np.uint8], images_key: str) -> Tensor:
    """`extract`, cached under the keys of the extractor and the images."""
    if not extractor.key:
        return extract(extractor.features, images, device=extractor.device)
    content = f"{extractor.key} {images_key} {len(images)}"
    folder = cache_folder() / f"features-{hashlib.sha256(content.encode()).hexdigest()[:20]}"

    def build(temporary: Path) -> None:
        np.save(temporary / "features.npy", extract(extractor.features, images, device=extractor.device).numpy())

    build_once(folder, build)
    try:
        return torch.from_numpy(np.load(folder / "features.npy", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        raise GeneraError(f"{folder} is damaged; delete it, and it will be rebuilt.") from None


def inception(path: str | Path, device: str | torch.device = "cpu") -> Extractor:
    """The FID Inception with weights from a file: `.safetensors` with the state dict of the network, or the published
    TorchScript file `inception-2015-12-05.pt`, whose checksum is verified.

    Raises GeneraError when the file is missing, is another TorchScript file, or contains other weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise GeneraError(
            f"{path} does not exist; give the Inception weights as .safetensors, or inception-2015-12-05.pt."
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".safetensors":
        network: Any = _from_state_dict(path)
        features, logits = network.features, network.forward
        name = "inception"
    elif digest == TORCHSCRIPT_INCEPTION:
        network = torch.jit.load(str(path), map_location="cpu")
        features, logits = (lambda x: network(x, return_features=True)), (lambda x: network(x))
        name = "inception-2015-12-05.pt"
    else:
        raise GeneraError(
            f"{path} is not the published inception-2015-12-05.pt (sha256 {digest[:12]}…, expected "
            f"{TORCHSCRIPT_INCEPTION[:12]}…); pickled weights are not supported; save the state dict as .safetensors."
        )
    network = network.eval().to(device)

    def coloured(apply: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: apply(x.expand(-1, 3, -1, -1))  # grey images in three channels

    return Extractor(name, coloured(features), coloured(logits), digest, device)


def _from_state_dict(path: Path) -> FidInception:
    network = FidInception()
    try:
        network.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise GeneraError(f"{path} is not a readable safetensors file ({error}); fetch it again.") from None
    except RuntimeError as error:
        problem = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), "other shapes")
        raise GeneraError(f"{path} is not an FID Inception ({problem[:100]}).") from None
    return network
