"""Optimus as others write it: BERT and GPT-2 folders with the latent maps beside them, or one set of original names."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from genera.blocks.huggingface import FORMATS, plain
from genera.blocks.pretrained import DECODERS, ENCODERS, Slot, fill, find, read_size, slots, weight_files
from genera.blocks.pretrained import write_folder as write_transformer
from genera.blocks.size import TransformerShape
from genera.blocks.warm_start import restored
from genera.console import say
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.engine.config import RunConfig
from genera.engine.origin import Origin
from genera.errors import GeneraError
from genera.files import write_tensors
from genera.methods.optimus.model import OptimusNetwork
from genera.typed import read_typed

_ENCODER, _DECODER = "encoder.", "decoder.transformer."
_MAPS = {
    "encoder.linear.weight": "to_posterior",
    "decoder.transformer.linear.weight": "to_memory",
    "decoder.transformer.linear_emb.weight": "to_embedding",
}
"""Name in the original code (W_E, W_M, W_D) → ours."""
_EXTRAS = "|".join(
    [
        rf"encoder\.({FORMATS['bert'].extras})",
        rf"decoder\.transformer\.({FORMATS['gpt2'].extras})",
        r"decoder\.lm_head\.weight",
        *map(re.escape, _MAPS),
    ]
)
_ENCODER_SIZES = {
    "feed_forward": ("encoder.encoder.layer.0.intermediate.dense.weight", 0),
    "hidden": ("encoder.embeddings.word_embeddings.weight", 1),
    "positions": ("encoder.embeddings.position_embeddings.weight", 0),
}
_DECODER_SIZES = {
    "feed_forward": ("decoder.transformer.h.0.mlp.c_fc.weight", 1),
    "hidden": ("decoder.transformer.wte.weight", 1),
    "positions": ("decoder.transformer.wpe.weight", 0),
}
"""Our size → the tensor and the axis that have it; a tensor of block 0 first."""
HEAD = 64
"""Units of a head in every published BERT and GPT-2."""
AnyShape = TypeVar("AnyShape", bound=TransformerShape)
_FILES = """\
- `encoder/`: BERT{pooler}, with its WordPiece tokeniser, and `decoder/`: GPT-2, with its byte-level BPE tokeniser;
  `from_pretrained` of transformers loads both.
- `latent.safetensors`: the linear maps that join them, under the names of the original code: `encoder.linear.weight`
  gives mean and log variance of z from the {feature}{maps}."""
_FEATURES = {
    "pooler": "pooler's output",
    "cls": "last state of [CLS]",
    "mean": "mean of the last states",
    "attention": "last states, which the queries of `pooling.*` read",
}
_OWN = ("pooling.", "feature_mean", "feature_scale")
"""Beginnings of the names of tensors that the original code does not have: how features are read from the states."""
_INJECTIONS = {
    "decoder.transformer.linear.weight": "gives each layer of GPT-2 one slot that is key and value at once",
    "decoder.transformer.linear_emb.weight": "is added to every token embedding",
}


# writing


def write_folder(network: OptimusNetwork, tokenisers: Tokenisers, folder: Path, *, trimmed: bool = False) -> str:
    """Write `encoder/`, `decoder/` and `latent.safetensors` into `folder`; returns what they are, in Markdown.

    trimmed: leave a trimmed vocabulary as it is; else its other tokens come from the pretrained decoder.
    """
    assert tokenisers.encoder is not None
    write_transformer(network.encoder, folder / "encoder", pad_token_id=tokenisers.encoder.pad)
    tokenisers.encoder.export(folder / "encoder")
    decoder, tokeniser = network.decoder, tokenisers.decoder
    if tokeniser.trimming and not trimmed:
        decoder, tokeniser = restored(decoder, network.config.pretrained_decoder, tokeniser), tokeniser.whole
    ids = {"pad_token_id": tokeniser.pad, "bos_token_id": tokeniser.bos, "eos_token_id": tokeniser.eos}
    write_transformer(decoder, folder / "decoder", **ids)
    tokeniser.export(folder / "decoder")
    maps = _maps(network)
    write_tensors(folder / "latent.safetensors", {slot.names[0]: slot.parameter for slot in maps})
    return _FILES.format(
        pooler="" if network.encoder.pooler else " without a pooler",
        feature=_FEATURES[network.config.feature],
        maps="".join(f"; `{name}` {what}" for name, what in _INJECTIONS.items() if any(name in s.names for s in maps))
        + ("; `feature_mean` and `feature_scale` standardise them" if "encoder" in network.config.freeze else ""),
    )


def _maps(network: OptimusNetwork) -> list[Slot]:
    layers = ((name, getattr(network, ours)) for name, ours in _MAPS.items())
    maps = [Slot(layer.weight, [name]) for name, layer in layers if layer is not None]
    return maps + [Slot(tensor, [name]) for name, tensor in network.state_dict().items() if name.startswith(_OWN)]


# reading


def read_folder(network: OptimusNetwork, folder: Path) -> None:
    """Fill `network` with what `write_folder` wrote. Raises GeneraError listing every tensor that does not fit."""
    for side, kinds in (("encoder", ENCODERS), ("decoder", DECODERS)):
        expected, size = getattr(network, side).size, read_size(folder / side, kinds)
        if replace(size, init=expected.init) != expected:
            raise GeneraError(f"{folder / side} is of size {size}, and genera.json beside it says {expected}.")
    files = dict.fromkeys(weight_files(folder / "encoder"), _ENCODER)
    files |= dict.fromkeys(weight_files(folder / "decoder"), _DECODER)
    _fill(network, files | {folder / "latent.safetensors": ""}, folder)


def read_original(network: OptimusNetwork, folder: Path) -> None:
    """Fill `network` from the safetensors files of `folder`, which have the original code's names."""
    _fill(network, dict.fromkeys(_safe_files(folder), ""), folder)


def _fill(network: OptimusNetwork, files: dict[Path, str], folder: Path) -> None:
    targets = [*slots(network.encoder, _ENCODER), *slots(network.decoder, _DECODER), *_maps(network)]
    fill(targets, files, _EXTRAS, f"the weights in {folder} do not fit this Optimus")


def _safe_files(folder: Path) -> list[Path]:
    if files := sorted(folder.glob("*.safetensors")):
        return files
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickles:
        raise GeneraError(
            f"{folder} has only {', '.join(pickles)}: pickles, which may run any code when they are read; "
            "convert them to .safetensors once, as docs/share.md shows."
        )
    raise GeneraError(f"{folder} has no .safetensors file; give a folder that holds the weights in one.")


# configs of imports


def from_parts(config: RunConfig, origin: Origin) -> RunConfig:
    """`config` for the BERT and the GPT-2 that `origin` names, which `Optimus.initialise` will then read."""
    if origin.encoder is None or origin.decoder is None:
        lacks = "--decoder GPT2" if origin.encoder else "--encoder BERT"
        both = "--encoder BERT and --decoder GPT2, or a source: an exported or an original Optimus"
        raise GeneraError(f"an import of optimus needs {lacks if origin.encoder or origin.decoder else both}.")
    if origin.heads is not None:
        raise GeneraError("config.json says how many heads --encoder and --decoder have; leave --heads out.")
    sizes = {"encoder": read_size(find(origin.encoder), ENCODERS), "decoder": read_size(find(origin.decoder), DECODERS)}
    model = replace(
        config.model,
        encoder=origin.shape_of("encoder", sizes["encoder"].shape),
        decoder=origin.shape_of("decoder", sizes["decoder"].shape),
        pretrained_encoder=origin.encoder,
        pretrained_decoder=origin.decoder,
        latent_size=origin.latent_size or config.model.latent_size,
    )
    data = replace(
        origin.data(config.data),
        encoder_tokeniser=origin.encoder_tokeniser or origin.encoder,
        decoder_tokeniser=origin.decoder_tokeniser or origin.decoder,
        max_tokens=min(config.data.max_tokens, *(size.positions for size in sizes.values())),
    )
    return replace(config, model=model, data=data)


def from_original(config: RunConfig, origin: Origin) -> tuple[RunConfig, Path]:
    """`config` with the sizes and tokenisers of the original checkpoint that `origin` names, and its folder. Heads are
    not in the weights: `origin.heads`, those of `config` for its width, or one for 64 units."""
    assert origin.source is not None
    origin.only(
        "source",
        "encoder_tokeniser",
        "decoder_tokeniser",
        "heads",
        because=f"the weights in {origin.source} are of a whole Optimus",
    )
    folder = find(origin.source, ("*.safetensors",))
    shapes = _shapes(folder)
    rows = _rows_of_posterior(folder, shapes)
    encoder = origin.encoder_tokeniser or config.data.encoder_tokeniser
    decoder = origin.decoder_tokeniser or config.data.decoder_tokeniser
    if encoder is None or decoder is None:
        raise GeneraError("these weights bring no tokenisers; give --encoder-tokeniser and --decoder-tokeniser.")
    model = replace(
        config.model,
        encoder=_shape_of(config.model.encoder, shapes, _ENCODER_SIZES, origin.heads),
        decoder=_shape_of(config.model.decoder, shapes, _DECODER_SIZES, origin.heads),
        latent_size=rows // 2,
        pretrained_encoder=None,
        pretrained_decoder=None,
    )
    for side, shape, before in (
        ("encoder", model.encoder, config.model.encoder),
        ("decoder", model.decoder, config.model.decoder),
    ):
        if shape != before:
            told = f"{shape.layers} layers of {shape.hidden} units, {shape.heads} heads, {shape.positions} positions"
            say(f"{side}: {told}" + ("" if origin.heads else "; weights do not tell the heads, --heads N changes them"))
    longest = min(config.data.max_tokens, model.encoder.positions, model.decoder.positions)
    data = replace(config.data, encoder_tokeniser=encoder, decoder_tokeniser=decoder, max_tokens=longest)
    return replace(config, model=model, data=data), folder


def _shape_of(
    usual: AnyShape, shapes: dict[str, tuple[int, ...]], sizes: dict[str, tuple[str, int]], heads: int | None
) -> AnyShape:
    """`usual` with the sizes of the tensors; heads of 64 units, as published, where the width is not the usual one."""
    widths = {ours: shapes[name][axis] for ours, (name, axis) in sizes.items() if len(shapes.get(name, ())) > axis}
    block = next(iter(sizes.values()))[0].split("0")[0]
    numbers = {int(name[len(block) :].split(".")[0]) for name in shapes if re.match(rf"{re.escape(block)}\d+\.", name)}
    if numbers:
        widths["layers"] = max(numbers) + 1
    hidden = widths.get("hidden", usual.hidden)
    if heads is None:
        heads = usual.heads if hidden == usual.hidden else hidden // HEAD
        if not heads or hidden % heads:
            raise GeneraError(
                f"weights of {hidden} units do not tell how many attention heads they have; give --heads N."
            )
    return replace(usual, **widths, heads=heads)


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in the safetensors files of `folder`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in _safe_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {plain(name): tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise GeneraError(f"{path} is damaged ({error}); fetch it again.") from error
    return shapes


def _rows_of_posterior(folder: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    name = next(iter(_MAPS))
    if shapes.get(name):
        return shapes[name][0]
    config = folder / "config.json"
    kind = read_typed(config, dict[str, Any], "fetch it again").get("model_type") if config.exists() else None
    what = f"a {kind} alone" if kind else f"no Optimus ({name} is missing)"
    raise GeneraError(f"{folder} holds {what}; give --encoder BERT and --decoder GPT2, or all of an Optimus.")
