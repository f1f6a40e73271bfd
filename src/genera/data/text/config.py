"""Options of text data."""

from dataclasses import dataclass
from typing import Literal

SMALLEST_VOCABULARY = 300  # the 256 bytes, the special tokens and a few merges
LARGEST_VOCABULARY = 1 << 24


def vocabulary_complaints(size: int) -> list[str]:
    return [f"--vocabulary must be at most {LARGEST_VOCABULARY}, got {size}"] if size > LARGEST_VOCABULARY else []


@dataclass(frozen=True, kw_only=True)
class TokenConfig:
    """Options of tokenised text. Each field is a command-line option."""

    limit: int | None = None
    """Use only this many training items, the first ones (validation and test stay whole)."""
    max_words: int = 64
    """Drop texts with more than this many words (separated by whitespace)."""
    max_tokens: int = 256
    """Drop texts with more than this many tokens on either side, including begin and end tokens."""
    encoder_tokeniser: str | None = None
    """WordPiece tokeniser of the encoder: a directory or a hub name [trained on the corpus]."""
    decoder_tokeniser: str | None = None
    """Byte-level BPE tokeniser of the decoder: a directory or a hub name [trained on the corpus]."""
    vocabulary: int = 8000
    """Maximum vocabulary size of a tokeniser trained on the corpus."""
    trim_vocabulary: bool = False
    """Keep only those tokens of --decoder-tokeniser that the training texts have, and the bytes: the output layer, a
    large part of a step, shrinks with them. Other texts fall into smaller pieces. An export has the whole vocabulary
    again."""
    bucket_noise: float = 0.25
    """Noise in length bucketing, in standard deviations of length: 0 pads least; more noise learns better per step."""

    def check(self) -> list[str]:
        lowest = {"max_words": 1, "max_tokens": 3, "vocabulary": SMALLEST_VOCABULARY, "limit": 1}
        values = {name: getattr(self, name) for name in lowest}
        wrong = [f"--bucket-noise must be 0 or above, got {self.bucket_noise}"] if self.bucket_noise < 0 else []
        if self.trim_vocabulary and self.decoder_tokeniser is None:
            wrong.append("--trim-vocabulary needs --decoder-tokeniser; one that is trained here has no other tokens")
        return [*wrong, *vocabulary_complaints(self.vocabulary)] + [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]


@dataclass(frozen=True, kw_only=True)
class DataConfig(TokenConfig):
    """Text data of a run. Each field is a command-line option."""

    data: str = "world:captions"
    """text:PATH, tsv:PATH, jsonl:PATH, glue:DIR, hub:NAME[:CONFIG] or world:NAME; PATH is a file, a glob or a folder;
    "A + B" reads both sources."""
    text_column: str | None = None
    """Text: a TSV column (number from 0, or header name), a JSONL field or a hub column; two separated by a comma form
    a sentence pair [0; text]."""
    label_column: str | None = None
    """Label: a TSV column (number from 0, or header name), a JSONL field or a hub column; for text: sources, `file` for
    the file name or `first` for the first word of the line [no labels]."""
    special_tokens: Literal["append", "own"] = "append"
    """Begin and end of a text for the decoder. append: <PAD>, <BOS> and <EOS> after its tokeniser's vocabulary. own:
    the tokeniser's end-of-text token (<|endoftext|>, or the eos_token of tokenizer_config.json), as in pre-training."""


@dataclass(frozen=True, kw_only=True)
class PackedDataConfig(DataConfig):
    """Text data of a language model, sentence by sentence or packed."""

    context: int | None = None
    """Concatenate the texts, each with its end token, and train on blocks of this many tokens, without padding; for
    documents and pre-training [one text a row, in batches of similar length]."""

    def check(self) -> list[str]:
        low = self.context is not None and self.context < 2
        return super().check() + ([f"--context must be at least 2, got {self.context}"] if low else [])
