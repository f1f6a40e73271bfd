"""Options of the evaluators that compare images. Imports no torch."""

from dataclasses import dataclass

from genera.evaluation.evaluator import Options


@dataclass(frozen=True, kw_only=True)
class ImageOptions(Options):
    """Which images are compared, and by which features."""

    images: int = 2000
    """Images to generate (or to translate in each direction), and held-out real images to compare with, at most."""
    features: str = "in-domain"
    """Features to compare images by: in-domain (a classifier trained once on the data), or a file with the FID
    Inception's weights (.safetensors, or inception-2015-12-05.pt)."""
