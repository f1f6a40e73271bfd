"""The origin of imported weights. No torch."""

from dataclasses import dataclass, fields

from genera.errors import GeneraError


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

    def __str__(self) -> str:
        return self.source or " + ".join(filter(None, (self.encoder, self.decoder)))
