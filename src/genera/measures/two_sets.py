"""Measures of two sets of images or texts that need no run: `genera.fid`, `genera.bleu`, `genera measure` and others.

Images are a folder of image files, an array or tensor, or a list of images (tensors as `run.sample` returns them,
arrays or PIL). Arrays of images are uint8, 0..255, (N, C, H, W) or (N, H, W, C), or floats in [-1, 1]; an array (N, D)
holds features already. Texts are a file with one text a line, plain or .gz, or a list of strings.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genera.data.files import read_lines
from genera.data.images.formats import find_images, labelled_files
from genera.data.images.pixels import Form, decode
from genera.data.images.store import to_uint8
from genera.errors import GeneraError
from genera.files import read_bytes
from genera.measures import frechet
from genera.measures import images as measured
from genera.measures import text as texts_measured
from genera.measures.features import extract, inception
from genera.measures.frechet import LEAST, fid_infinity
from genera.measures.in_domain import in_domain_of
from genera.measures.schema import Estimate

Images: TypeAlias = "str | Path | NDArray[Any] | Tensor | Sequence[Any]"
Texts: TypeAlias = "str | Path | Sequence[str]"

# -- images -----------------------------------------------------------------------------------------------------------


def fid(images: Images, reference: Images, *, features: str | Path = "in-domain", size: int | None = None) -> Estimate:
    """Fréchet inception distance of `images` from `reference`, 0 or above; lower is better.

    features: "in-domain" (a small classifier trained on the reference once and kept in the cache: figures compare sets
    against this reference alone), or a file with the FID Inception's weights. size: side in pixels that all images are
    brought to [their own, if they have one]. Raises GeneraError for images that cannot be read or compared.
    """
    return frechet.fid(*feature_pair(images, reference, features, size))


def kid(images: Images, reference: Images, *, features: str | Path = "in-domain", size: int | None = None) -> Estimate:
    """Kernel inception distance, unbiased, over all pairs; near 0 for equal distributions. Options as of `fid`."""
    return measured.kid(*feature_pair(images, reference, features, size))


def precision_recall(
    images: Images, reference: Images, *, features: str | Path = "in-domain", size: int | None = None
) -> dict[str, Estimate]:
    """{"precision", "recall", "density", "coverage"}, shares but for density; higher is better. Options as of `fid`.

    As many of both are compared as the smaller set has: all four depend on these numbers.
    """
    return _precision_recall(*feature_pair(images, reference, features, size))


def image_measures(
    images: Images, reference: Images, *, features: str | Path = "in-domain", size: int | None = None
) -> dict[str, Estimate]:
    """Every measure of two sets of images, by name; features are extracted once."""
    made, real = feature_pair(images, reference, features, size)
    generator = torch.Generator().manual_seed(0)
    figures = {"fid": frechet.fid(made, real)}
    if len(made) >= LEAST:
        figures["fid_infinity"] = fid_infinity(made, real, generator=generator)
    figures |= measured.kids(made, real, generator=generator)
    return figures | (_precision_recall(made, real) if min(len(made), len(real)) > 5 else {})


def _precision_recall(made: Tensor, real: Tensor) -> dict[str, Estimate]:
    count = min(len(made), len(real))
    return measured.precision_recall_density_coverage(made[:count], real[:count])


def feature_pair(
    images: Images, reference: Images, features: str | Path = "in-domain", size: int | None = None
) -> tuple[Tensor, Tensor]:
    """(N, D) and (M, D) float32 of two sets of images, or the arrays of features themselves."""
    given = [isinstance(one, np.ndarray | Tensor) and one.ndim == 2 for one in (images, reference)]
    if all(given):
        made, real = (torch.as_tensor(np.asarray(one)).float() for one in (images, reference))
        if made.shape[1] != real.shape[1]:
            raise GeneraError(f"features of {made.shape[1]} and of {real.shape[1]} dimensions cannot be compared.")
        return made, real
    if any(given):
        raise GeneraError("one set holds features and the other one images; give images twice, or features twice.")
    form = _form(images, reference, size)
    made_pixels, real_pixels = pixels_of(images, form), pixels_of(reference, form)
    in_domain = features == "in-domain"
    extractor = in_domain_of(real_pixels, _labels_of(reference)) if in_domain else inception(features)
    first, second = (extract(extractor.features, p, device=extractor.device) for p in (made_pixels, real_pixels))
    return first, second


def pixels_of(images: Images, form: Form) -> NDArray[np.uint8]:
    """(N, 3, S, S) uint8 of a set of images."""
    if isinstance(images, str | Path):
        return np.stack([form.fit(decode(read_bytes(file), str(file))) for file in find_images(_folder(images))])
    return np.stack([form.fit(_image(one)) for one in images])


def _form(images: Images, reference: Images, size: int | None) -> Form:
    """The one shape of both sets: `size`, or the one that all images have."""
    if size is None:
        sizes = {shape for one in (images, reference) for shape in _shapes(one)}
        if len(sizes) > 1 or any(height != width for height, width in sizes):
            told = ", ".join(f"{width}x{height}" for height, width in sorted(sizes)[:3])
            raise GeneraError(
                f"the images are not of one square size ({told}, …); give the side to bring them to: size."
            )
        size = sizes.pop()[0]
    if size < 8:
        raise GeneraError(f"the side of images (size) must be at least 8 pixels, got {size}.")
    return Form(size, 3, "centre")


def _shapes(images: Images) -> set[tuple[int, int]]:
    """Height and width of every image; of files, as their headers say."""
    if isinstance(images, str | Path):
        shapes = set()
        for file in find_images(_folder(images)):
            try:
                with Image.open(file) as image:
                    shapes.add((image.height, image.width))
            except Exception:  # a damaged image can raise almost anything
                decode(read_bytes(file), str(file))  # says what is wrong with it
        return shapes
    if len(images) == 0:
        raise GeneraError("a set of no images cannot be measured; give at least two.")
    return {(image.height, image.width) for image in map(_image, images)}


def _image(one: Any) -> Image.Image:
    """One image of a set: PIL, an array or a tensor."""
    if isinstance(one, Image.Image):
        return one
    array = one.detach().cpu() if isinstance(one, Tensor) else torch.as_tensor(np.asarray(one))
    if array.ndim != 3 or not {array.shape[0], array.shape[2]} & {1, 3}:
        raise GeneraError(f"an image is (C, H, W) or (H, W, C) with 1 or 3 channels, got {tuple(array.shape)}.")
    if array.shape[0] not in (1, 3):
        array = array.permute(2, 0, 1)
    if array.is_floating_point():
        if array.min() < -1.001 or array.max() > 1.001:
            raise GeneraError(
                f"images of floats lie in [-1, 1], got {float(array.min()):.3g} to {float(array.max()):.3g}; "
                "scale them, or give uint8 of 0..255."
            )
        array = to_uint8(array.float())
    elif array.dtype != torch.uint8:
        raise GeneraError(f"images are uint8 (0..255) or floats in [-1, 1], got {array.dtype}.")
    return Image.fromarray(array.permute(1, 2, 0).numpy().squeeze())


def _labels_of(images: Images) -> NDArray[np.int64] | None:
    """Numbers of the class folders of a set of files; None where there are none, or but one."""
    if not isinstance(images, str | Path):
        return None
    files, names = labelled_files(_folder(images))
    if len(set(names)) < 2 or files != find_images(_folder(images)):
        return None
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _folder(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.is_dir():
        raise GeneraError(f"{path} is no folder of images.")
    return path


# -- texts ------------------------------------------------------------------------------------------------------------


def bleu(outputs: Texts, references: Texts, *more: Texts) -> Estimate:
    """Corpus BLEU-4, 0..100, of outputs against their references, line by line (sacrebleu: 13a, exponential smoothing).

    more: the outputs' second references, third, and so on. Raises GeneraError where the numbers of lines differ.
    """
    made, *others = (texts_of(one) for one in (outputs, references, *more))
    return Estimate(texts_measured.corpus_bleu(made, *others), None, len(made))


def self_bleu(texts: Texts) -> Estimate:
    """Mean BLEU-4, 0..100, of each text against all the others (Zhu et al. 2018); low is diverse."""
    return texts_measured.self_bleu(texts_of(texts))


def distinct(texts: Texts, n: int = 2) -> Estimate:
    """Different n-grams of words over all n-grams, pooled over the texts (Li et al. 2016), 0..1; high is diverse."""
    if n < 1:
        raise GeneraError(f"n-grams have at least one word, got n = {n}.")
    made = texts_of(texts)
    return Estimate(texts_measured.distinct(made, n), None, len(made))


def text_measures(outputs: Texts, references: Texts) -> dict[str, Estimate]:
    """Every measure of two sets of texts, by name. Corpus BLEU, line by line, only of equally many lines."""
    made, known = texts_of(outputs), texts_of(references)
    figures = {}
    if len(made) == len(known):
        figures["bleu"] = bleu(made, known)
    figures["bleu_against"] = texts_measured.bleu_against(made, known)
    for suffix, texts in (("", made), ("_of_reference", known)):
        if len(texts) > 1:
            figures[f"self_bleu{suffix}"] = self_bleu(texts)
        for n in (1, 2):
            figures[f"distinct_{n}{suffix}"] = distinct(texts, n)
    figures["novel"] = texts_measured.novel(made, known)
    coverage = texts_measured.vocabulary_coverage(made, known)
    return figures | {"vocabulary_coverage": Estimate(coverage, None, len(made))}


def texts_of(texts: Texts) -> list[str]:
    """One text a line of a file, or the strings of a list; the last line may be empty, others stay."""
    if not isinstance(texts, str | Path):
        made = list(texts)
        if wrong := next((one for one in made if not isinstance(one, str)), None):
            raise GeneraError(f"texts are strings, got {type(wrong).__name__}.")
    else:
        path = Path(texts).expanduser()
        if not path.is_file():
            raise GeneraError(f"{texts} is no file of texts, one a line; a list of strings does as well.")
        made = [line.text.strip() for line in read_lines(path)]
    if not any(made):
        raise GeneraError("a set of no texts cannot be measured; give at least one.")
    return made


def are_texts(one: Any) -> bool:
    """Whether a set is one of texts: a file, or strings."""
    if isinstance(one, str | Path):
        return Path(one).expanduser().is_file()
    return (
        isinstance(one, Iterable)
        and not isinstance(one, np.ndarray | Tensor)
        and isinstance(next(iter(one), None), str)
    )
