"""Where the data of a run comes from and how it is read."""

from dataclasses import dataclass

SMALLEST_VOCABULARY = 300  # the 256 bytes, the special tokens and a few merges


@dataclass(frozen=True, kw_only=True)
class TokenConfig:
    """How texts of any kind become tokens. Each field is a command-line option."""

    limit: int | None = None
    """Use only the first so many training items (validation and test stay whole)."""
    max_words: int = 64
    """Drop texts of more words than this (words are what blanks separate)."""
    max_tokens: int = 256
    """Drop texts of more tokens than this on either side, begin and end tokens included."""
    encoder_tokeniser: str | None = None
    """WordPiece tokeniser of the encoder: a directory or a hub name [trained on the corpus]."""
    decoder_tokeniser: str | None = None
    """Byte-level BPE tokeniser of the decoder: a directory or a hub name [trained on the corpus]."""
    vocabulary: int = 8000
    """Most tokens that a tokeniser trained on the corpus may have."""
    bucket_noise: float = 0.25
    """How far batches mix lengths, in standard deviations of length: 0 pads least; more learns better per step."""

    def check(self) -> list[str]:
        lowest = {"max_words": 1, "max_tokens": 3, "vocabulary": SMALLEST_VOCABULARY, "limit": 1}
        values = {name: getattr(self, name) for name in lowest}
        wrong = [f"--bucket-noise must be 0 or above, got {self.bucket_noise}"] if self.bucket_noise < 0 else []
        return wrong + [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]


@dataclass(frozen=True, kw_only=True)
class DataConfig(TokenConfig):
    """Text data of a run. Each field is a command-line option."""

    data: str = "world:captions"
    """text:PATH, tsv:PATH, jsonl:PATH, glue:DIR, hub:NAME[:CONFIG] or world:NAME; PATH is a file, a glob or a folder;
    "A + B" reads both."""
    text_column: str | None = None
    """Where the text is: a TSV column (number from 0, or name in the header), a JSONL field or hub column; two with a
    comma between them make a pair of sentences [0; text]."""
    label_column: str | None = None
    """Where the label is: a TSV column (number from 0, or name in the header), a JSONL field or hub column; of text:
    `file` for the file's name, `first` for the line's first word [no labels]."""
