"""MiniLM and SmolLM2: a training step and cached generation against `transformers` on the same weights.

    GENERA_MODELS=DIR python -m benchmarks.real_models

DIR holds `minilm` and `smollm2-135m` in Hugging Face layout. Both sides run in turn, round by round, in float32; the
ratio is that of their least CPU times, as other processes then count less. Targets: 1.1 for steps, 1.5 for generation.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.decoding import generate
from genera.blocks.decoding_options import Decoding
from genera.blocks.likelihood import sequence_log_likelihood
from genera.blocks.pretrained import DECODERS, ENCODERS, load_weights, read_size
from genera.errors import GeneraError

ROUNDS, ROWS, PROMPT, TOKENS = 4, 32, 8, 32
END, PAD = 0, 2


def seconds(action: Callable[[], object]) -> float:
    """CPU seconds."""
    before = time.process_time()
    action()
    return time.process_time() - before


def compared(name: str, theirs: Callable[[], object], ours: Callable[[], object]) -> None:
    theirs(), ours()
    times = [(seconds(theirs), seconds(ours)) for _ in range(ROUNDS)]
    peer, own = (min(column) for column in zip(*times, strict=True))
    print(f"{name:<44}{peer:>16.3f}{own:>10.3f}{peer / own:>7.2f}", flush=True)


def trained(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """One step of AdamW."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def encoder(folder: Path) -> None:
    """Loss: that of a linear map of the states of the first token, over sentences of different lengths."""
    ours, theirs = (
        Bert(read_size(folder, ENCODERS)),
        transformers.BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32),
    )
    load_weights(ours, folder)
    size, rows, length = ours.size, 32, 32
    ids = torch.randint(1000, size.vocabulary, (rows, length))
    mask = torch.arange(length) < torch.linspace(length / 2, length, rows).long()[:, None]
    direction = torch.randn(size.hidden)
    ours.eval(), theirs.eval()
    pair = (
        lambda: ((theirs(ids, attention_mask=mask.long()).last_hidden_state[:, 0] @ direction) ** 2).mean(),
        lambda: ((ours(ids, mask)[:, 0] @ direction) ** 2).mean(),
    )
    losses = [loss().item() for loss in pair]
    assert abs(losses[0] - losses[1]) < 1e-4 * abs(losses[0]), losses
    ours.train(), theirs.train()
    compared(f"MiniLM, step of {rows} x {length}", trained(theirs, pair[0]), trained(ours, pair[1]))


def decoder(folder: Path) -> None:
    ours, theirs = (
        Decoder(read_size(folder, DECODERS)),
        transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32),
    )
    load_weights(ours, folder)
    ours.eval(), theirs.eval()
    rows, length = 8, 33
    ids = torch.randint(1000, ours.size.vocabulary, (rows, length))

    def of_theirs() -> Tensor:
        logits = theirs(ids[:, :-1]).logits
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    def of_ours() -> Tensor:
        return -sequence_log_likelihood(ours(ids[:, :-1]), ours.output, ids[:, 1:], PAD).sum() / ids[:, 1:].numel()

    losses = [loss().item() for loss in (of_theirs, of_ours)]
    assert abs(losses[0] - losses[1]) < 1e-4 * losses[0], losses
    generation(ours, theirs)
    compared(f"SmolLM2, step of {rows} x {length - 1}", trained(theirs, of_theirs), trained(ours, of_ours))


def generation(ours: Decoder, theirs: transformers.LlamaForCausalLM) -> None:
    prompt = torch.randint(1000, ours.size.vocabulary, (ROWS, PROMPT))
    for mode in ("greedy", "sampled"):
        how = Decoding(temperature=float(mode == "sampled"), max_tokens=TOKENS)
        options = {"do_sample": mode == "sampled", "temperature": 1.0, "top_k": 0, "top_p": 1.0, "eos_token_id": END}
        options = options if mode == "sampled" else {"do_sample": False, "eos_token_id": END}

        def of_ours(how=how) -> Tensor:
            return generate(ours, start=prompt, decoding=how, end=END, pad=PAD)

        def of_theirs(options=options) -> Tensor:
            whole = theirs.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, pad_token_id=PAD, **options
            )
            return whole[:, PROMPT:]

        if mode == "greedy":
            same = (of_ours() == of_theirs()).float().mean()
            assert same > 0.95, f"the two must write the same; {same:.0%} of the tokens are equal"
        compared(f"SmolLM2, {mode}, {ROWS} x {TOKENS} tokens", of_theirs, of_ours)


def main() -> None:
    if "GENERA_MODELS" not in os.environ:
        raise GeneraError("set GENERA_MODELS to a folder with minilm and smollm2-135m.")
    folder = Path(os.environ["GENERA_MODELS"])
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    print(f"CPU seconds, {torch.get_num_threads()} threads, least of {ROUNDS} rounds")
    print(f"{'':<44}{'transformers s':>16}{'genera s':>10}{'ratio':>7}")
    encoder(folder / "minilm")
    decoder(folder / "smollm2-135m")


if __name__ == "__main__":
    main()
