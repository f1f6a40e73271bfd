"""Two views of one sentence x: the encoder's WordPiece `[CLS] x [SEP]`, the decoder's byte-level BPE `<BOS> x <EOS>`
or, with the special tokens of a pretrained model, `<|endoftext|> x <|endoftext|>`.

The files are Hugging Face `tokenizers` files. A literal "<EOS>" or "[SEP]" in a sentence is encoded as ordinary text,
never as the special id.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from genera.data.text.pairs import PAIR, halves
from genera.data.vocabularies.special_tokens import (
    APPENDED,
    CONFIGS,
    DOCUMENT_END,
    Special,
    SpecialTokens,
    own_tokens,
    saved_as,
)
from genera.data.vocabularies.trimming import Trimming, trim
from genera.errors import GeneraError, reason
from genera.files import read_bytes, read_json, write_json, write_text

Kind: TypeAlias = Literal["wordpiece", "bpe"]

_MODEL = {"wordpiece": "WordPiece", "bpe": "BPE"}
_SPECIAL = {"wordpiece": Special("[PAD]", "[CLS]", "[SEP]"), "bpe": APPENDED}
_WORDPIECE_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS_AT_ONCE = 4096
_FILES = ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", *CONFIGS]


class Tokeniser:
    """Texts to ids and back. `wordpiece` is BERT's (pad must be 0); `bpe` is GPT-2's, with three ids appended or with
    special tokens of its own. Then `bos`, `eos` and `pad` may be the same id: only the first `eos` after `bos` is an
    end, and all after it is padding.

    A `bpe` text gets a leading space, so that its first word has the same tokens as inside a sentence.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        kind: Kind,
        name: str,
        own: Special | None = None,
        trimming: Trimming | None = None,
    ) -> None:
        """own: special tokens that a bpe vocabulary has [appended ones]. trimming: what `trimmed` cut it from.

        Raises GeneraError when `tokenizer` is not of `kind` or lacks its special tokens. `name` is for messages."""
        model = type(tokenizer.model).__name__
        if model != _MODEL[kind]:
            raise GeneraError(f"{name} is a {model} tokeniser; a {_MODEL[kind]} tokeniser is needed here.")
        self.own, self._own, self._special = own is not None, own, own or _SPECIAL[kind]
        special = [AddedToken(token, special=True, normalized=False) for token in self._special]
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
        self._tokenizer, self.trimming = tokenizer, trimming
        if trimming and len(trimming.kept) != self.size:
            raise GeneraError(f"{name} keeps {len(trimming.kept)} tokens, but has {self.size}; restore its files.")

    @property
    def mask(self) -> int:
        """The id of the mask token. Raises GeneraError if the vocabulary has none."""
        mask = self._tokenizer.token_to_id("[MASK]")
        if mask is None:
            raise GeneraError("this tokeniser has no [MASK] token; masked language modelling needs one.")
        return int(mask)

    @property
    def never_written(self) -> tuple[int, ...]:
        """Ids that a decoder must not generate: bos and pad, unless they are the end too."""
        return tuple(sorted({self.bos, self.pad} - {self.eos}))

    def id_of(self, token: str) -> int | None:
        """The id of a token, None where the vocabulary has none such."""
        return self._tokenizer.token_to_id(token)

    @property
    def added(self) -> set[int]:
        """Ids of tokens that are not made by merges, such as the special ones."""
        return set(self._tokenizer.get_added_tokens_decoder())

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
        """(B, T) ids → B texts: everything before the first eos (a bos before it aside), without special tokens."""
        rows = []
        for row in ids.tolist() if isinstance(ids, np.ndarray) else map(list, ids):
            if row and row[0] == self.bos:
                del row[0]
            rows.append(row[: row.index(self.eos)] if self.eos in row else row)
        with _explained(f"{self._name} cannot decode these ids"):
            texts = self._tokenizer.decode_batch(rows, skip_special_tokens=True)
        return [text.removeprefix(" ") for text in texts] if self.kind == "bpe" else texts

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary entry of each id."""
        return [self._tokenizer.id_to_token(i) or "" for i in ids]

    def to_json(self) -> str:
        return self._tokenizer.to_str()

    @property
    def identity(self) -> str:
        """Equal for tokenisers that give the same ids."""
        return self.to_json() + (repr(tuple(self._special)) if self.own else "")

    def save(self, folder: str | Path) -> None:
        """Write `folder`/tokenizer.json in the format of the library `tokenizers`, and tokenizer_config.json if the
        special tokens are its own; and what it was trimmed from."""
        write_text(Path(folder) / "tokenizer.json", self.to_json())
        if self.own:
            self._save_config(Path(folder))
        if self.trimming:
            self.trimming.save(Path(folder))

    def _save_config(self, folder: Path) -> None:
        begin, end = ("cls_token", "sep_token") if self.kind == "wordpiece" else ("bos_token", "eos_token")
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": self._special.pad,
                begin: self._special.bos,
                end: self._special.eos,
                "clean_up_tokenization_spaces": False,
            },
        )

    def export(self, folder: Path) -> None:
        """As `save`, but so that transformers' AutoTokenizer also gives the ids of `encode_batch`: the file then adds
        the special tokens and the leading space, which this class adds in Python."""
        tokenizer = Tokenizer.from_str(self.to_json())
        _, bos, eos = self._special
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}", special_tokens=[(bos, self.bos), (eos, self.eos)]
        )
        if isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        write_text(folder / "tokenizer.json", tokenizer.to_str())
        self._save_config(folder)

    @classmethod
    def load(cls, where: str | Path, kind: Kind, special_tokens: SpecialTokens = "append") -> "Tokeniser":
        """From a directory (tokenizer.json; or vocab.txt; or vocab.json and merges.txt) or a name on the hub.

        special_tokens: of bpe. Raises GeneraError for "own" where the vocabulary has no end token."""
        folder = Path(where).expanduser()
        if not folder.is_dir():
            folder = _download(str(where))
        with _explained(f"the tokeniser in {folder} is not readable"):
            tokenizer = _read(folder, kind)
            own = own_tokens(tokenizer, folder, str(where)) if special_tokens == "own" else None
            return cls(tokenizer, kind, str(where), own, Trimming.load(folder))

    # trimmed vocabularies

    def trimmed(self, texts: Iterable[str]) -> "Tokeniser":
        """This tokeniser with the tokens of `texts`, the bytes and the special tokens alone. It tokenises `texts` as
        before, and others into smaller pieces. Raises GeneraError if it is not a byte-level BPE."""
        used: set[int] = set()
        remaining = iter(texts)
        while some := list(islice(remaining, TEXTS_AT_ONCE)):
            used.update(*self.encode_batch(some))
        trimmed, trimming = trim(self.to_json(), used, self._name)
        return Tokeniser(Tokenizer.from_str(trimmed), self.kind, self._name, self._own, trimming)

    @property
    def whole(self) -> "Tokeniser":
        """The tokeniser that this one was trimmed from; itself if it was not."""
        if self.trimming is None:
            return self
        return Tokeniser(Tokenizer.from_str(self.trimming.whole), self.kind, self._name, self._own)

    @property
    def whole_ids(self) -> Sequence[int]:
        """The id in `whole` of each id."""
        return range(self.size) if self.trimming is None else self.trimming.kept

    @classmethod
    def train(
        cls,
        kind: Kind,
        texts: Callable[[], Iterable[str]],
        vocabulary: int,
        *,
        special_tokens: SpecialTokens = "append",
        lowercase: bool = False,
        whole: Sequence[str] = (),
    ) -> "Tokeniser":
        """Learn at most `vocabulary` tokens from `texts()`, which is read once (bpe) or twice (wordpiece).

        Deterministic: the same texts give the same ids on every machine.

        bpe only: special_tokens: "own" appends <|endoftext|> alone.

        wordpiece only: lowercase: lower the case and strip accents, as BERT uncased. whole: words that are one token
        each wherever they occur, such as tags; they get the last ids.
        """
        if kind == "bpe":
            assert not lowercase
            assert not whole
            own = _OWN if special_tokens == "own" else None
            return cls(_train_bpe(texts, vocabulary - _added(own)), kind, "the trained tokeniser", own)
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
        encoder, decoder = folder / "encoder", folder / "decoder"
        return cls(
            encoder=Tokeniser.load(encoder, "wordpiece") if encoder.is_dir() else None,
            decoder=Tokeniser.load(decoder, "bpe", saved_as(decoder)),
        )


_PUBLISHED = {
    "google-bert/bert-base-cased": 28_996,
    "google-bert/bert-base-uncased": 30_522,
    "openai-community/gpt2": 50_257,
    "HuggingFaceTB/SmolLM2-135M": 49_152,
}
"""Vocabulary sizes of the tokenisers in presets, so that a dry run needs no network."""


_OWN = Special(DOCUMENT_END, DOCUMENT_END, DOCUMENT_END)
"""Of a vocabulary trained on the corpus."""


def _added(own: Special | None) -> int:
    """Number of special tokens that are added to a trained bpe vocabulary."""
    return len(set(own or APPENDED))


def sketch(kind: Kind, where: str | None, vocabulary: int, special_tokens: SpecialTokens = "append") -> Tokeniser:
    """A placeholder with the vocabulary size of the tokeniser at `where`, or of a trained one of maximum size."""
    if where is not None and where not in _PUBLISHED:
        return Tokeniser.load(where, kind, special_tokens)
    own = _OWN if kind == "bpe" and special_tokens == "own" else None
    size = vocabulary if where is None else _PUBLISHED[where]
    count = size - (_added(own) if kind == "bpe" and (own or where is None) else 0)
    if kind == "wordpiece":
        words = {word: i for i, word in enumerate(_WORDPIECE_VOCABULARY)}
        return Tokeniser(_wordpiece(words | {str(i): i for i in range(len(words), count)}), kind, "the sketch")
    return Tokeniser(_bpe({str(i): i for i in range(count)}, []), kind, "the sketch", own)


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
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" " + text for text in texts()), trainer)
    return tokenizer
