"""`genera respond` and `genera chat`: text, JSON, files and pipes."""

import json
import subprocess
import sys

import pytest

import genera as library
from commands import genera
from genera.errors import GeneraError
from genera.uses.conversation import Conversation

QUESTION = "where is the sailor selling a kite ?"


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    out = tmp_path_factory.mktemp("talker") / "run"
    words = "--data world:dialogues --limit 50 --vocabulary 400 --steps 3 --batch-size 16 --validate-every 0"
    done = genera("train", "spacefusion:nano-seq2seq", *words.split(), "--out", out)
    assert done.code == 0, done.err
    return out


def test_responses_as_text_and_as_json(talker):
    words = ("respond", talker, QUESTION, "--count", "3", "--temperature", "0")
    expected = library.load(talker).respond([QUESTION], 3, temperature=0.0)
    assert genera(*words).out == "\n".join(expected) + "\n"
    assert genera(*words, "--json").json == [{"context": [QUESTION], "responses": expected}]


def test_responses_by_beam_search(talker):
    expected = library.load(talker).respond([QUESTION], 3, beams=3, max_tokens=6)
    shown = genera("respond", talker, QUESTION, "--count", "3", "--beams", "3", "--max-tokens", "6")
    assert shown.out == "\n".join(expected) + "\n"
    for context in (QUESTION, [], [3]):
        with pytest.raises(GeneraError, match="a context is a list of at least one turn, each a text"):
            library.load(talker).respond(context)


def test_several_turns_are_one_context(talker):
    turns = [QUESTION, "he is near the school .", "thank you ."]
    assert genera("respond", talker, *turns, "--json").json[0]["context"] == turns


def test_contexts_from_a_file(talker, tmp_path):
    (tmp_path / "contexts.txt").write_text(f"{QUESTION}\n{QUESTION}\the is near the school .\n")
    words = ("respond", talker, "--input", tmp_path / "contexts.txt", "--count", "2", "--temperature", "0")
    found = genera(*words, "--json").json
    assert [len(row["context"]) for row in found] == [1, 2]
    lines = genera(*words).out.splitlines()
    assert lines[3] == f"{QUESTION} | he is near the school ."
    assert lines[4:] == [f"  {response}" for response in found[1]["responses"]]


def test_what_is_missing_is_said(talker, tmp_path):
    assert "give sentences either on the command line or with --input FILE" in genera("respond", talker).error
    assert (
        "either on the command line or with --input FILE"
        in genera("respond", talker, QUESTION, "--input", tmp_path / "a.txt").error
    )
    assert "number of responses must be at least 1" in genera("respond", talker, QUESTION, "--count", "0").error
    (tmp_path / "gap.txt").write_text("Hello .\t\tBye .\n")
    assert "is empty; fill it in" in genera("respond", talker, "--input", tmp_path / "gap.txt").error


def test_a_piped_conversation(talker):
    said = f"{QUESTION}\nthank you .\n\n{QUESTION}\n"
    command = [sys.executable, "-m", "genera", "chat", str(talker), "--temperature", "0"]
    text = subprocess.run(command, input=said, capture_output=True, text=True, check=True)
    talk = Conversation(library.load(talker), temperature=0.0)
    first = talk.say(QUESTION)
    assert text.stdout.splitlines() == [first, talk.say("thank you ."), first]
    assert text.stderr == ""
    values = subprocess.run([*command, "--json"], input=said, capture_output=True, text=True, check=True)
    assert json.loads(values.stdout.splitlines()[0]) == {"turn": QUESTION, "response": first}
