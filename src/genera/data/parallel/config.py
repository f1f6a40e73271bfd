"""Where parallel texts come from and how they are read."""

from dataclasses import dataclass

from genera.data.text.config import SMALLEST_VOCABULARY


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Texts with their translations. Each field is a command-line option."""

    data: str
    """pairs:FILE.src,FILE.tgt (line by line; globs and folders too), tsv:PATH or jsonl:PATH; "A + B" reads both, of any
    languages."""
    source_column: str = "0"
    """Where the source text is: a TSV column (number from 0, or name in the header) or a JSONL field."""
    target_column: str = "1"
    """Where its translation is: a TSV column or a JSONL field."""
    source_language: str | None = None
    """Language of the source texts, or column:NAME for a column that says it [the ending of the file, else src]."""
    target_language: str | None = None
    """Language of the translations, or column:NAME for a column that says it [the ending of the file, else tgt]."""
    limit: int | None = None
    """Use only the first so many training pairs (validation and test stay whole)."""
    max_tokens: int = 256
    """Drop pairs with more tokens than this on either side, begin and end tokens included."""
    tokeniser: str | None = None
    """Byte-level BPE tokeniser of all languages: a directory or a hub name [trained on both sides of the training
    pairs]."""
    vocabulary: int = 8000
    """Most tokens that a tokeniser trained on the corpus may have."""
    batch_tokens: int = 0
    """Most tokens of a global batch on either side, padding included; --batch-size is then the number of pairs that a
    batch has a multiple of. 0 for batches of --batch-size pairs."""
    bucket_noise: float = 0.25
    """How far batches of --batch-size pairs mix lengths, in standard deviations of length."""

    def check(self) -> list[str]:
        lowest = {"max_tokens": 3, "vocabulary": SMALLEST_VOCABULARY, "limit": 1, "batch_tokens": 0, "bucket_noise": 0}
        values = {name: getattr(self, name) for name in lowest}
        wrong = [
            f"--{name.replace('_', '-')} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]
        if 0 < self.batch_tokens < self.max_tokens:
            wrong.append(
                f"--batch-tokens {self.batch_tokens} is less than one pair may have (--max-tokens {self.max_tokens})"
            )
        return wrong
