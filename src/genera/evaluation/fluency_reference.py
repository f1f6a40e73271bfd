"""Reference models that judge fluency: the nats of sentences under a model other than the measured one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genera.engine.capabilities import Scores
from genera.errors import GeneraError, Lacks
from genera.evaluation.evaluator import Evaluation
from genera.evaluation.sentences import sentence_model

Nats = Callable[[Sequence[str]], NDArray[np.float64]]
"""Sentences → −log p of each with its end, (N,); NaN for one that the model cannot read, such as an empty one."""

AT_ONCE = 64
"""Sentences scored together."""
SAMPLES = 20
"""Importance samples of a reference that has only a bound."""


def open_reference(evaluation: Evaluation, reference: str | None) -> tuple[Nats, str]:
    """The nats of a reference model, and its name.

    reference: a run, or a GPT-2 or a Llama in the Hugging Face layout, a folder or hub name; None: a trigram model.
    Raises GeneraError for a folder that is none of them, and for a run without likelihoods of text; Lacks without a
    reference and without a training split to fit the trigrams to.
    """
    from genera.engine.shipped import SHIPPED

    if reference is None:
        if (model := sentence_model(evaluation)) is None:
            raise Lacks("needs a training split to fit its trigram model to, or --fluency.reference")
        return model.nats, "a trigram model of the training split"
    path = Path(reference).expanduser()
    if reference in SHIPPED or (path / "config.yaml").is_file():
        return _of_run(reference if reference in SHIPPED else path, evaluation), reference
    if "/" in reference and not path.exists():
        from genera.blocks.pretrained import find

        path = find(reference, ("*.json", "model*.safetensors", "merges.txt"))
    if not (path / "config.json").is_file():
        raise GeneraError(
            f"--fluency.reference {reference} is neither a run folder (with config.yaml) nor a GPT-2 or Llama in the "
            "Hugging Face layout (with config.json, model.safetensors and tokenizer.json)."
        )
    return _of_decoder(path, evaluation.run.device), reference


def _of_run(path: str | Path, evaluation: Evaluation) -> Nats:
    from genera.uses.run import Run

    run = Run.load(path, device=str(evaluation.run.device))
    model: Any = run.method
    if not isinstance(model, Scores) or run.method.dataset.kind != "text":
        raise GeneraError(
            f"--fluency.reference {path} is a run of {run.config.method}, which has no likelihood of sentences; give a "
            "run of gpt2-lm or another model of text."
        )

    def nats(sentences: Sequence[str]) -> NDArray[np.float64]:
        generator = run.generator(evaluation.seed)

        def score(some: Sequence[str]) -> list[float]:
            weights = model.score(some, SAMPLES, generator=generator).log_weights
            return (np.log(len(weights)) - weights.logsumexp(0)).tolist()

        def score_one(sentence: str) -> float:
            try:
                return score([sentence])[0]
            except GeneraError:  # longer than it reads: in parts
                words = sentence.split()
                parts = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
                if len(words) == 1:
                    parts = [sentence[: len(sentence) // 2], sentence[len(sentence) // 2 :]]
                return sum(map(score_one, parts)) if all(parts) else np.nan

        values: list[float] = []
        for i in range(0, len(sentences), AT_ONCE):
            some = sentences[i : i + AT_ONCE]
            try:
                values += score(some)
            except GeneraError:
                values += map(score_one, some)
        return np.array(values)

    return nats


def _of_decoder(folder: Path, device: Any) -> Nats:
    import torch

    from genera.blocks.decoder import Decoder
    from genera.blocks.likelihood import IGNORED, sequence_log_likelihood
    from genera.blocks.pretrained import DECODERS, load_weights, read_size
    from genera.data.vocabularies.tokenisers import Tokeniser

    model = Decoder(read_size(folder, DECODERS))
    load_weights(model, folder)
    model.to(device).eval()
    tokeniser = Tokeniser.load(folder, "bpe", "own")
    begin, end = tokeniser.bos, tokeniser.eos
    limit = model.size.positions

    @torch.no_grad()
    def nats(sentences: Sequence[str]) -> NDArray[np.float64]:
        parts = []
        windows, owners = [], []
        for number, ids in enumerate(tokeniser.encode_batch(sentences)):
            targets_of_one = [*ids[1:-1], end]
            for first in range(0, len(targets_of_one), limit):
                windows.append(torch.tensor([begin, *targets_of_one[first : first + limit]]))
                owners.append(number)
        for i in range(0, len(windows), AT_ONCE):
            rows = windows[i : i + AT_ONCE]
            targets = torch.nn.utils.rnn.pad_sequence([row[1:] for row in rows], True, IGNORED).to(device)
            inputs = torch.nn.utils.rnn.pad_sequence([row[:-1] for row in rows], True, end).to(device)
            parts.append(-sequence_log_likelihood(model(inputs), model.output, targets))
        summed = np.bincount(owners, torch.cat(parts).double().cpu().numpy(), len(sentences))
        return summed.astype(np.float64)

    return nats
