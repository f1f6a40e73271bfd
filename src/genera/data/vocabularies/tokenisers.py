"""Two views of one sentence x: the encoder's WordPiece `[CLS] x [SEP]`, the decoder's byte-level BPE `<BOS> x <EOS>`.

The files are Hugging Face `tokenizers` files. A literal "<EOS>" or "[SEP]" in a sentence is encoded as ordinary text,
never as the special id.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from genera.data.text.pairs import PAIR, halves
from genera.errors import GeneraError, reason
from genera.files import read_bytes, read_json, write_json, write_text

Kind: TypeAlias = Literal["wordpiece", "bpe"]

_MODEL = {"wordpiece": "WordPiece", "bpe": "BPE"}
_SPECIAL = {"wordpiece": ("[PAD]", "[CLS]", "[SEP]"), "bpe": ("<PAD>", "<BOS>", "<EOS>")}  # pad, bos, eos
_WORDPIECE_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_FILES = ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json"]


class Tokeniser:
    """Texts to ids and back. `wordpiece` is BERT's (pad must be 0); `bpe` is GPT-2's with three ids appended.

    A `bpe` text gets a leading space, so that its first word has the same tokens as inside a sentence.
    """

    def __init__(self, tokenizer: Tokenizer, kind: Kind, name: str) -> None:
        """Raises GeneraError when `tokenizer` is not of `kind` or lacks its special tokens. `name` is for messages."""
        model = type(tokenizer.model).__name__
        if model != _MODEL[kind]:
            raise GeneraError(f"{name} is a {model} tokeniser; a {_MODEL[kind]} tokeniser is needed here.")
        special = [AddedToken(token, special=True, normalized=False) for token in _SPECIAL[kind]]
        if kind == "bpe":
            tokenizer.add_special_tokens(special)  # existing ones keep their ids
        else:
            missing = [token.content for token in special if tokenizer.token_to_id(token.content) is None]
            if missing or tokenizer.token_to_id("[PAD]") != 0:
                problem = f"has no {' and no '.join(missing)}" if missing else "has a [PAD] that is not id 0"
                raise GeneraError(f"the vocabulary of {name} {problem}; BERT's layout is needed.")
            tokenizer.add_special_tokens(special)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # encode literal special tokens as ordinary text
        self.kind, self._name = kind, name
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        if max(vocabulary.values()) >= len(vocabulary):
            raise GeneraError(
                f"{name} has {len(vocabulary)} tokens with ids up to {max(vocabulary.values())}; ids 0 … "
                f"{len(vocabulary) - 1} were expected."
            )
        self.pad, self.bos, self.eos = (vocabulary[token.content] for token in special)
        self.size: int = tokenizer.get_vocab_size()
        self._tokenizer = tokenizer

    @property
    def mask(self) -> int:
        """The id of the mask token. Raises GeneraError if the vocabulary has none."""
        mask = self._tokenizer.token_to_id("[MASK]")
        if mask is None:
            raise GeneraError("this tokeniser has no [MASK] token; masked language modelling needs one.")
        return int(mask)

    def id_of(self, token: str) -> int | None:
        """The id of a token, None where the vocabulary has none such."""
        return self._tokenizer.token_to_id(token)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids per text, including bos and eos. A wordpiece tokeniser encodes a pair as [CLS] a [SEP] b
        [SEP], in one segment as in training; a bpe tokeniser joins the two with a space."""
        if self.kind == "bpe":
            return self._wrapped([" " + text.replace(PAIR, " ") for text in texts])
        if not any(PAIR in text for text in texts):
            return self._wrapped(texts)
        first, second = (self._wrapped(side) for side in zip(*map(halves, texts), strict=True))
        return [a + b[1:] * (PAIR in text) for text, a, b in zip(texts, first, second, strict=True)]

    def _wrapped(self, texts: Sequence[str]) -> list[list[int]]:
        with _explained(f"{self._name} cannot encode these texts"):
            encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [[self.bos, *encoding.ids, self.eos] for encoding in encoded]

    def decode_batch(self, ids: NDArray[np.integer] | Sequence[Sequence[int]]) -> list[str]:
        """(B, T) ids → B texts: everything before the first eos, without special tokens."""
        rows = []
        for row in ids.tolist() if isinstance(ids, np.ndarray) else map(list, ids):
            rows.append(row[: row.index(self.eos)] if self.eos in row else row)
        with _explained(f"{self._name} cannot decode these ids"):
            texts = self._tokenizer.decode_batch(rows, skip_special_tokens=True)
        return [text.removeprefix(" ") for text in texts] if self.kind == "bpe" else texts

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary entry of each id."""
        return [self._tokenizer.id_to_token(i) or "" for i in ids]

    def to_json(self) -> str:
        return self._tokenizer.to_str()

    def save(self, folder: str | Path) -> None:
        """Write `folder`/tokenizer.json in the format of the library `tokenizers`."""
        write_text(Path(folder) / "tokenizer.json", self.to_json())

    def export(self, folder: Path) -> None:
        """As `save`, but so that transformers' AutoTokenizer also gives the ids of `encode_batch`: the file then adds
        the special tokens and the leading space, which this class adds in Python."""
        tokenizer = Tokenizer.from_str(self.to_json())
        pad, bos, eos = _SPECIAL[self.kind]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}", special_tokens=[(bos, self.bos), (eos, self.eos)]
        )
        if isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        write_text(folder / "tokenizer.json", tokenizer.to_str())
        begin, end = ("cls_token", "sep_token") if self.kind == "wordpiece" else ("bos_token", "eos_token")
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": pad,
                begin: bos,
                end: eos,
                "clean_up_tokenization_spaces": False,
            },
        )

    @classmethod
    def load(cls, where: str | Path, kind: Kind) -> "Tokeniser":
        """From a directory (tokenizer.json; or vocab.txt; or vocab.json and merges.txt) or a name on the hub."""
        folder = Path(where).expanduser()
        if not folder.is_dir():
            folder = _download(str(where))
        with _explained(f"the tokeniser in {folder} is not readable"):
            return cls(_read(folder, kind), kind, str(where))

    @classmethod
    def train(
        cls,
        kind: Kind,
        texts: Callable[[], Iterable[str]],
        vocabulary: int,
        *,
        lowercase: bool = False,
        whole: Sequence[str] = (),
    ) -> "Tokeniser":
        """Learn at most `vocabulary` tokens from `texts()`, which is read once (bpe) or twice (wordpiece).

        Deterministic: the same texts give the same ids on every machine.

        wordpiece only: lowercase: lower the case and strip accents, as BERT uncased. whole: words that are one token
        each wherever they occur, such as tags; they get the last ids.
        """
        if kind == "bpe":
            assert not lowercase
            assert not whole
            return cls(_train_bpe(texts, vocabulary), kind, "the trained tokeniser")
        tokenizer = _train_wordpiece(lambda: _without(whole, texts()), vocabulary - len(whole), lowercase)
        tokenizer.add_tokens([AddedToken(word, normalized=False) for word in whole])
        return cls(tokenizer, kind, "the trained tokeniser")


@dataclass(frozen=True)
class Tokenisers:
    """The two tokenisers of a text model; `encoder` is None for a model without an encoder."""

    encoder: Tokeniser | None
    decoder: Tokeniser

    def save(self, folder: str | Path) -> None:
        """Write `folder`/encoder/tokenizer.json and `folder`/decoder/tokenizer.json."""
        if self.encoder is not None:
            self.encoder.save(Path(folder) / "encoder")
        self.decoder.save(Path(folder) / "decoder")

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenisers":
        folder = Path(folder)
        if not (folder / "decoder").is_dir():
            raise GeneraError(f"{folder} holds no tokenisers; {folder / 'decoder'} does not exist.")
        encoder = folder / "encoder"
        return cls(
            encoder=Tokeniser.load(encoder, "wordpiece") if encoder.is_dir() else None,
            decoder=Tokeniser.load(folder / "decoder", "bpe"),
        )


_PUBLISHED = {
    "google-bert/bert-base-cased": 28_996,
    "google-bert/bert-base-uncased": 30_522,
    "openai-community/gpt2": 50_257,
}
"""Vocabulary sizes of the tokenisers in presets, so that a dry run needs no network."""


def sketch(kind: Kind, where: str | None, vocabulary: int) -> Tokeniser:
    """A placeholder with the vocabulary size of the tokeniser at `where`, or of a trained one of maximum size."""
    if where is not None and where not in _PUBLISHED:
        return Tokeniser.load(where, kind)
    added = len(_SPECIAL["bpe"]) if kind == "bpe" else 0
    count = vocabulary - added if where is None else _PUBLISHED[where]
    if kind == "wordpiece":
        words = {word: i for i, word in enumerate(_WORDPIECE_VOCABULARY)}
        return Tokeniser(_wordpiece(words | {str(i): i for i in range(len(words), count)}), kind, "the sketch")
    return Tokeniser(_bpe({str(i): i for i in range(count)}, []), kind, "the sketch")


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Turn the errors of the library into a sentence: bare Exceptions, and panics of its Rust code (as for a regular
    expression that backtracks for too long), which are BaseExceptions."""
    try:
        yield
    except (GeneraError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise GeneraError(f"{problem} ({reason(error)}); restore its files or use another tokeniser.") from None


# -- files and the hub ------------------------------------------------------------------------------------------------


def _read(folder: Path, kind: Kind) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_str(read_bytes(folder / "tokenizer.json").decode())
    if kind == "wordpiece" and (folder / "vocab.txt").exists():
        vocabulary = models.WordPiece.read_file(str(folder / "vocab.txt"))
        config = folder / "tokenizer_config.json"
        lowercase = read_json(config).get("do_lower_case", False) if config.exists() else False
        return _wordpiece(vocabulary, lowercase)
    if kind == "bpe" and (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return _bpe(*models.BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    files = "vocab.txt" if kind == "wordpiece" else "vocab.json with merges.txt"
    raise GeneraError(f"{folder} has no {_MODEL[kind]} tokeniser; a tokenizer.json or a {files} was expected.")


def _download(name: str) -> Path:
    """The tokeniser files of a hub repository, from the local hub cache if present."""
    if name.count("/") > 1 or name.startswith(("/", ".", "~")):
        raise GeneraError(f"{name} is not a directory; give a tokeniser's directory or its name on the hub.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except Exception as error:  # network, hub and name errors share no base class
        raise GeneraError(
            f"the tokeniser {name!r} is not a local directory and could not be fetched from the hub "
            f"({type(error).__name__}); check the name and the network, or give a directory."
        ) from None


# -- the two kinds ----------------------------------------------------------------------------------------------------


def _wordpiece(vocabulary: dict[str, int], lowercase: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer


def _bpe(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _without(words: Sequence[str], texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for word in words:
            text = text.replace(word, " ")
        yield text


def _train_wordpiece(texts: Callable[[], Iterable[str]], vocabulary: int, lowercase: bool) -> Tokenizer:
    """The library numbers the single-character pieces "##c" in the order of a randomly seeded hash map, so results
    vary. Passing the alphabet, and the pieces as special tokens, makes training deterministic.
    """
    tokenizer = _wordpiece({"[UNK]": 0}, lowercase)
    counts: Counter[str] = Counter()
    for text in texts():
        counts.update(tokenizer.normalizer.normalize_str(text))
    letters = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))[: vocabulary // 4]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        special_tokens=_WORDPIECE_VOCABULARY + ["##" + letter for letter in sorted(letters)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return _wordpiece(tokenizer.get_vocab(), lowercase)


def _train_bpe(texts: Callable[[], Iterable[str]], vocabulary: int) -> Tokenizer:
    tokenizer = _bpe({}, [])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_SPECIAL["bpe"]),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" " + text for text in texts()), trainer)
    return tokenizer
