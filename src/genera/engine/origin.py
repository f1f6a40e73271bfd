"""The origin of imported weights. No torch."""

from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar

from genera.blocks.size import TransformerShape
from genera.data.text.config import DataConfig
from genera.errors import GeneraError

Shape = TypeVar("Shape", bound=TransformerShape)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Each is a directory or a hub name. Give one source, or the parts of a model with several."""

    source: str | None = None
    """A folder written by `genera export`; a complete GPT-2; or a checkpoint of the original Optimus code."""
    encoder: str | None = None
    """BERT for the encoder, in the Hugging Face layout."""
    decoder: str | None = None
    """GPT-2 for the decoder, in the Hugging Face layout."""
    encoder_tokeniser: str | None = None
    """WordPiece tokeniser of the encoder [next to its weights]."""
    decoder_tokeniser: str | None = None
    """Byte-level BPE tokeniser of the decoder [next to its weights]."""
    decoder_layers: int | None = None
    """Use only the first N layers of the decoder [all]."""
    encoder_layers: int | None = None
    """Use only the first N layers of the encoder [all]."""
    trim_vocabulary: str | None = None
    """A corpus, as --data names it: keep only those of the decoder's tokens that its training texts have [all]."""
    text_column: str | None = None
    """Column of the texts of --trim-vocabulary, as in `genera train`."""
    latent_size: int | None = None
    """Dimensions of the latent between --encoder and --decoder [the preset's]."""
    heads: int | None = None
    """Attention heads of both transformers of an original Optimus [the preset's, or one per 64 units]."""

    def only(self, *names: str, because: str) -> None:
        """Raise GeneraError when anything but `names` is given."""
        for field in fields(Origin):
            if getattr(self, field.name) is not None and field.name not in names:
                option = "the source" if field.name == "source" else f"--{field.name.replace('_', '-')}"
                raise GeneraError(f"{because}; leave {option} out.")

    def shape_of(self, side: Literal["encoder", "decoder"], shape: Shape) -> Shape:
        """`shape`, with the number of layers asked for. Raises GeneraError for more than there are."""
        layers = getattr(self, f"{side}_layers")
        if layers is None:
            return shape
        if not 1 <= layers <= shape.layers:
            raise GeneraError(f"--{side}-layers must lie in 1 .. {shape.layers}, the layers there are, got {layers}.")
        return replace(shape, layers=layers)

    def data(self, data: DataConfig) -> DataConfig:
        """`data` with the corpus of --trim-vocabulary, if there is one."""
        if self.trim_vocabulary is None:
            if self.text_column is not None:
                raise GeneraError("--text-column is of the corpus of --trim-vocabulary; give both or neither.")
            return data
        return replace(data, data=self.trim_vocabulary, text_column=self.text_column, trim_vocabulary=True)

    def __str__(self) -> str:
        return self.source or " + ".join(filter(None, (self.encoder, self.decoder)))
