"""Options of the evaluators that compare images. Imports no torch."""

from dataclasses import dataclass

from genera.evaluation.evaluator import Options


@dataclass(frozen=True, kw_only=True)
class ImageOptions(Options):
    """The images to compare, and the features to compare them by."""

    images: int = 2000
    """Number of images to generate (or to translate in each direction), and maximum number of held-out real images."""
    features: str = "in-domain"
    """Features that compare images: in-domain (a classifier trained once on the data), or a file with the weights of
    FID's Inception (.safetensors, or inception-2015-12-05.pt)."""
