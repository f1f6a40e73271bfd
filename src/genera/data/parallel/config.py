"""Options of parallel texts."""

from dataclasses import dataclass

from genera.data.text.config import SMALLEST_VOCABULARY, vocabulary_complaints


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Texts with their translations. Each field is a command-line option."""

    data: str
    """pairs:FILE.src,FILE.tgt (aligned lines; globs and folders work too), tsv:PATH or jsonl:PATH; "A + B" reads both
    sources, in any languages."""
    source_column: str = "0"
    """Source text: a TSV column (number from 0, or header name) or a JSONL field."""
    target_column: str = "1"
    """Translation: a TSV column or a JSONL field."""
    source_language: str | None = None
    """Language of the source texts, or column:NAME for a column with the language [the file extension, else src]."""
    target_language: str | None = None
    """Language of the translations, or column:NAME for a column with the language [the file extension, else tgt]."""
    limit: int | None = None
    """Use only this many training pairs, the first ones (validation and test stay whole)."""
    max_tokens: int = 256
    """Drop pairs with more than this many tokens on either side, including begin and end tokens."""
    tokeniser: str | None = None
    """Byte-level BPE tokeniser for all languages: a directory or a hub name [trained on both sides of the training
    pairs]."""
    vocabulary: int = 8000
    """Maximum vocabulary size of a tokeniser trained on the corpus."""
    batch_tokens: int = 0
    """Maximum tokens of a global batch on either side, including padding; the number of pairs in a batch is then a
    multiple of --batch-size. 0 for batches of --batch-size pairs."""
    bucket_noise: float = 0.25
    """Noise in the length bucketing of batches of --batch-size pairs, in standard deviations of length."""

    def check(self) -> list[str]:
        lowest = {"max_tokens": 3, "vocabulary": SMALLEST_VOCABULARY, "limit": 1, "batch_tokens": 0, "bucket_noise": 0}
        values = {name: getattr(self, name) for name in lowest}
        wrong = [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]
        wrong += vocabulary_complaints(self.vocabulary)
        if 0 < self.batch_tokens < self.max_tokens:
            wrong.append(
                f"--batch-tokens {self.batch_tokens} is below --max-tokens {self.max_tokens}; every pair must fit"
            )
        return wrong
