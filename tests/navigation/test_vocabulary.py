import gzip

import numpy as np
import pytest

from genera.data.vocabularies.words import BOS, EOS, PAD, UNK, WordVocabulary, split_words
from genera.errors import GeneraError

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Walk past the sofa.", ["walk", "past", "the", "sofa", "."]),
        ("wait!? No", ["wait", "!", "?", "no"]),
        ("stop... here", ["stop", "...", "here"]),
        ("it's 2-piece", ["it", "'", "s", "2", "-", "piece"]),
        ("end.)", ["end", ".", ")"]),
        ("snake_case stays", ["snake_case", "stays"]),
        ("<EOS> is text", ["<", "eos", ">", "is", "text"]),
        ("   ", []),
    ],
)
def test_words_and_marks(text, words):
    assert split_words(text) == words


def test_rare_words_are_unknown():
    vocabulary = WordVocabulary.build(["go left", "go right", "go left"], fewest=2)
    assert vocabulary.words == ("<PAD>", "<UNK>", "<EOS>", "go", "left", BOS)
    assert vocabulary.encode_batch(["GO right"], 9).tolist() == [[3, UNK, EOS]]
    assert vocabulary.bos == 5


def test_rows_end_and_are_padded():
    vocabulary = WordVocabulary.build(["a b c"], fewest=1)
    ids = vocabulary.encode_batch(["a b c", "b"], 9)
    assert ids.tolist() == [[3, 4, 5, EOS], [4, EOS, PAD, PAD]]
    assert vocabulary.decode_batch(ids) == ["a b c", "b"]
    assert vocabulary.decode_batch(np.array([[3, 4, 5], [EOS, 3, 3]])) == ["a b c", ""]


def test_a_long_instruction_is_cut_and_still_ends():
    vocabulary = WordVocabulary.build(["go"], fewest=1)
    ids = vocabulary.encode_batch(["go " * 500, "go"], 80)
    assert ids.shape == (2, 80)
    assert ids[0].tolist() == [3] * 79 + [EOS]


def test_an_empty_instruction_is_refused():
    with pytest.raises(GeneraError, match="instruction ' ' is empty"):
        WordVocabulary.build(["go"], fewest=1).encode_batch(["go", " "], 80)


def test_files(tmp_path):
    vocabulary = WordVocabulary.build(["walk to the door ."], fewest=1)
    vocabulary.save(tmp_path)
    assert WordVocabulary.load(tmp_path).words == vocabulary.words
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress((tmp_path / "words.txt").read_bytes()))
    assert WordVocabulary.load(tmp_path / "v.txt.gz").words == vocabulary.words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the\nand\n", "does not begin with <PAD>"),
        (b"<PAD>\n<UNK>\n<EOS>\nthe\nthe\n", "'the' twice"),
        (b"\xff\xfe", "not readable as text"),
    ],
)
def test_bad_files(tmp_path, content, message):
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(GeneraError, match=message):
        WordVocabulary.load(tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(GeneraError, match=r"words\.txt does not exist"):
        WordVocabulary.load(tmp_path)


def test_the_published_vocabulary_comes_out_of_the_training_split(r2r, real_data):
    """All but "tot", a slip of the pen ("tot he door") that the instructions at hand no longer have."""
    instructions = [episode.instruction for episode in r2r.table("train").episodes]
    published = WordVocabulary.load(real_data("r2r") / "train_vocab.txt.gz")
    assert len(published.words) - 1 == 991
    assert set(WordVocabulary.build(instructions).words) == set(published.words) - {"tot"}
