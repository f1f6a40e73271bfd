"""Transformers in the Hugging Face layout: read from a folder or the hub, written to a folder."""

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.huggingface import FORMATS, NOWHERE, Format, plain
from genera.blocks.layouts import LLAMA, ROTARY_BASE
from genera.blocks.shares import Scratch, assign, gathered, is_share, whole_shape
from genera.blocks.size import T5Size, TransformerSize
from genera.blocks.t5 import T5
from genera.blocks.tensor_parallel import Arrangement, arrangements, parts_of
from genera.errors import GeneraError
from genera.files import write_json, write_tensors
from genera.typed import mismatch, read_typed

_INDEX = "model.safetensors.index.json"
ENCODERS, DECODERS, PAIRS = ("bert", "roformer"), ("gpt2", "llama"), ("t5", "mt5")
"""model_type of the files that a Bert, a Decoder and a T5 read"""
FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of stored weights that are read as they are."""
AT_ONCE = 4096
"""Rows of an embedding that are read together."""
MISFITS_SHOWN = 20
"""Tensors that an error lists."""

Model = Bert | Decoder | T5


def find(source: str | Path, wanted: Iterable[str] = ("config.json", "model*.safetensors", _INDEX)) -> Path:
    """`source` itself if it is a folder, else the local copy of the hub model, such as "gpt2", downloaded on first use.

    wanted: patterns of the files to download.
    Raises GeneraError when neither exists.
    """
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(str(source), allow_patterns=list(wanted)))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise GeneraError(
            f"{source} is not a folder and could not be downloaded from the hub ({type(error).__name__}); "
            "give the path of a folder with config.json and model.safetensors."
        ) from error


def read_size(folder: str | Path, kinds: Sequence[str]) -> TransformerSize:
    """The size and layout in config.json. kinds: the accepted values of its `model_type`.

    Raises GeneraError for another kind of model, or a variant that these blocks do not implement.
    """
    path = Path(folder) / "config.json"
    config = read_typed(path, dict[str, Any], "fetch it again")
    kind = config.get("model_type")
    if kind not in kinds:
        raise GeneraError(f"{path} describes model_type {kind!r}; expected {' or '.join(map(repr, kinds))}.")
    if kind == "t5" and str(config.get("feed_forward_proj", "relu")).startswith("gated"):
        kind = "mt5"  # T5 1.1 has the same layout
    form = FORMATS[kind]
    windows = {"sliding_window": (config.get("sliding_window"),)} if config.get("use_sliding_window") is False else {}
    for name, values in {**NOWHERE, **form.implemented, **windows}.items():
        if config.get(name, values[0]) not in values:
            known = " or ".join(map(repr, values))
            raise GeneraError(f"{path}: {name} is {config[name]!r}; only {known} is implemented.")
    if kinds_of_layers := set(config.get("layer_types") or []) - {"full_attention"}:
        raise GeneraError(f"{path}: layer_types has {min(kinds_of_layers)!r}; only 'full_attention' is implemented.")
    rotary_base = _rotary_base(config, path)
    if config.get("quantization_config") is not None:
        raise GeneraError(f"{path}: the weights are quantised (quantization_config); fetch the unquantised model.")
    dropouts = {name: config.get(name, 0.1) for name in form.dropouts}
    if problem := mismatch(dropouts, dict[str, float], "dropout"):
        raise GeneraError(f"{path} is damaged ({problem}); fetch it again.")
    if len(set(dropouts.values())) > 1:
        raise GeneraError(f"{path} has several dropout rates, {dropouts}; set them to one value.")
    try:
        sizes = {ours: _entry(config, theirs, kind) for ours, theirs in form.sizes.items()}
    except KeyError as missing:
        raise GeneraError(f"{path} has no entry {missing}; fetch it again.") from None
    sizes = {ours: value for ours, value in sizes.items() if value is not None}
    if (width := config.get("embedding_size")) not in (None, sizes["hidden"]):
        raise GeneraError(f"{path}: embedding_size is {width!r}; only hidden_size is implemented.")
    if problem := mismatch(sizes, dict[str, int], "size"):
        raise GeneraError(f"{path} is damaged ({problem}); fetch it again.")
    if sizes.get("key_value_heads") == sizes["heads"]:
        del sizes["key_value_heads"]
    if sizes.get("head_size") == sizes["hidden"] / sizes["heads"]:
        del sizes["head_size"]
    dropout = next(iter(dropouts.values()), 0.0)
    if kind == "llama":
        tied, epsilon = config.get("tie_word_embeddings", False), config.get("rms_norm_eps", LLAMA.epsilon)
        layout = replace(LLAMA, tied=tied, epsilon=float(f"{epsilon:.4g}"))
        return TransformerSize(
            **sizes, dropout=dropout, layout=layout, rotary_base=None if rotary_base == ROTARY_BASE else rotary_base
        )
    if kind in PAIRS:
        # transformers 5 writes tie_word_embeddings: true also where a file has its own output matrix.
        tied = config.get("tie_word_embeddings", form.layout.tied) and "lm_head.weight" not in _stored_names(folder)
        scaled = kind == "t5" and config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
        layout, decoder_layers = replace(form.layout, tied=tied, scaled_output=scaled), config.get("num_decoder_layers")
        return T5Size(**sizes, dropout=dropout, layout=layout, decoder_layers=decoder_layers or sizes["layers"])
    return TransformerSize(**sizes, dropout=dropout, layout=form.layout)


def _stored_names(folder: str | Path) -> set[str]:
    names: set[str] = set()
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            names |= set(file.keys())
    return names


def _entry(config: dict[str, Any], name: str, kind: str) -> Any:
    """Optional entries have the defaults of transformers."""
    if name == "n_inner" and config.get(name) is None:
        return 4 * config["n_embd"]
    if name in ("num_key_value_heads", "head_dim"):
        return config.get(name)
    return config.get(name, 512) if kind in PAIRS and name == "n_positions" else config[name]


def _rotary_base(config: dict[str, Any], path: Path) -> float:
    """The base of the angles, if nothing but that is asked of rotary positions."""
    base = config.get("rope_theta", ROTARY_BASE)
    for name in ("rope_scaling", "rope_parameters"):
        rope = config.get(name) or {}
        if problem := mismatch(rope, dict[str, Any], name):
            raise GeneraError(f"{path} is damaged ({problem}); fetch it again.")
        kind, share = rope.get("rope_type", rope.get("type", "default")), rope.get("partial_rotary_factor", 1.0)
        if kind != "default":
            raise GeneraError(
                f"{path}: {name} asks for rotary positions of type {kind!r}; only 'default' is implemented."
            )
        if share != 1.0:
            raise GeneraError(f"{path}: {name} has partial_rotary_factor {share}; only 1.0 is implemented.")
        base = rope.get("rope_theta", base)
    if problem := mismatch(base, float, "rope_theta"):
        raise GeneraError(f"{path} is damaged ({problem}); fetch it again.")
    return float(base)


class Picked(NamedTuple):
    """Rows of a stored tensor that a parameter takes; its other rows stay as they are."""

    stored: int
    """rows of the stored tensor"""
    theirs: Tensor
    """(N,) places of the rows there, and …"""
    ours: Tensor
    """(N,) … in the parameter"""


class Slot(NamedTuple):
    """How files store a parameter: the names of its parts, and whether they are transposed."""

    parameter: Tensor
    names: list[str]
    transposed: bool = False
    rows: list[int] | None = None
    """of each part [equally many]"""
    picked: Picked | None = None
    """of a tensor with one row per token [all rows]"""
    arrangement: Arrangement | None = None
    """order in which ranks hold the rows of the parameter, where it is not that of files"""

    @property
    def shape(self) -> torch.Size:
        """Of the whole parameter, of which this rank may hold a share."""
        return whole_shape(self.parameter, self.arrangement)

    def split(self, whole: Tensor) -> list[Tensor]:
        """Views of the whole parameter, one for each name."""
        rows = self.rows or [len(whole) // len(self.names)] * len(self.names)
        return list(whole.split(rows))


def format_of(model: Model) -> Format:
    """How models of this layout are stored."""
    return FORMATS[model.layout.name]


def slots(model: Model, prefix: str = "", tokens: Picked | None = None) -> list[Slot]:
    """The parameters of `model` under their Hugging Face names, with `prefix` prepended.

    tokens: the rows of the embedding, and of an output matrix of its own, that are read from a file.
    """
    form, targets, arranged = format_of(model), [], arrangements(model, parts_of(model))
    for name, parameter in model.named_parameters():
        layer, _, kind = name.rpartition(".")
        number = re.search(r"\d+", layer)
        theirs = [part.format(number and number[0]) for part in form.names[re.sub(r"\d+", "{}", layer)]]
        transposed = kind == "weight" and bool(re.fullmatch(form.transposed, theirs[0]))
        rows = model.size.projected_rows if layer.endswith(".qkv") and len(theirs) == 3 else None
        picked = tokens if layer in ("tokens", "head") else None
        names = [f"{prefix}{part}.{kind}" for part in theirs]
        targets.append(Slot(parameter, names, transposed, rows, picked, arranged.get(name)))
    return targets


def load_weights(model: Model, folder: str | Path, *, layers: int | None = None, tokens: Picked | None = None) -> None:
    """Load the model from model.safetensors or its shards, in any precision. Names may have a prefix such as "bert.".

    layers: number of layers in the folder, of which the model has the first ones [all]. tokens: the rows to read of the
        embedding [all].
    Raises GeneraError, before changing the model, with a list of all missing, unknown or misshapen tensors.
    """
    files, targets = dict.fromkeys(weight_files(folder), ""), slots(model, tokens=tokens)
    extras = format_of(model).extras
    if layers is not None and layers > model.size.layers:
        extras += "|" + _later_layers(model, layers)
    fill(targets, files, extras, f"the weights in {folder} do not fit {model.size}")


def _later_layers(model: Model, layers: int) -> str:
    """Pattern of the tensors in the layers that a folder of `layers` layers has beyond those of the model."""
    first = [part for name in format_of(model).names.values() for part in name if "{}" in part]
    numbers = "|".join(map(str, range(model.size.layers, layers)))
    return "|".join(re.escape(part).replace(r"\{\}", f"({numbers})") + r"\.(weight|bias)" for part in first)


def fill(targets: list[Slot], files: dict[Path, str], extras: str, misfit: str) -> None:
    """Copy tensors from safetensors files into parameters.

    files: file → prefix for its names, after removing their own, such as "bert.".
    extras: pattern of names to ignore. misfit: the beginning of the error message.
    Raises GeneraError, before changing a parameter, with a list of all missing, unknown or misshapen tensors.
    """
    stored: dict[str, tuple[Any, str]] = {}  # name → (open file, name in the file)
    with ExitStack() as stack, torch.no_grad():
        for path, prefix in files.items():
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except FileNotFoundError:
                raise GeneraError(f"{path} is missing; fetch it again.") from None
            except SafetensorError as error:
                raise GeneraError(f"{path} is damaged ({error}); fetch it again.") from error
            stored |= {prefix + plain(name): (file, name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        slices = {name: file.get_slice(in_file) for name, (file, in_file) in stored.items()}
        wrong = _misfits(targets, {name: tuple(part.get_shape()) for name, part in slices.items()}, extras)
        wrong += [
            f"{name} is stored as {slices[name].get_dtype()} (quantised?)"
            for name in dict.fromkeys(name for slot in targets for name in slot.names)
            if name in slices and slices[name].get_dtype() not in FLOATS
        ]
        if wrong:
            more = f"; and {len(wrong) - MISFITS_SHOWN} more tensors" if len(wrong) > MISFITS_SHOWN else ""
            raise GeneraError(f"{misfit}: {'; '.join(wrong[:MISFITS_SHOWN])}{more}.")
        scratch = Scratch()
        for slot in targets:  # tensor by tensor, so that no second copy of the model is in memory
            whole = slot.parameter.detach()
            if is_share(whole):
                whole = gathered(whole, slot.arrangement) if slot.picked else scratch.tensor(slot.shape)
            for part, name in zip(slot.split(whole), slot.names, strict=True):
                file, in_file = stored[name]
                tensor = file.get_tensor(in_file)
                if slot.picked:
                    pairs = zip(slot.picked.ours.split(AT_ONCE), slot.picked.theirs.split(AT_ONCE), strict=True)
                    for ours, theirs in pairs:
                        part[ours] = tensor[theirs].to(part)
                else:
                    part.copy_(tensor.T if slot.transposed else tensor)
            if is_share(slot.parameter):
                assign(slot.parameter, whole, slot.arrangement)


def _misfits(targets: list[Slot], shapes: dict[str, tuple[int, ...]], extras: str) -> list[str]:
    wrong, known = [], set()
    for slot in targets:
        for part, name in zip(slot.split(torch.empty(slot.shape, device="meta")), slot.names, strict=True):
            known.add(name)
            wanted = tuple(part.shape)[::-1] if slot.transposed else tuple(part.shape)
            if slot.picked:
                wanted = (slot.picked.stored, *wanted[1:])
            if name not in shapes:
                wrong.append(f"{name} is missing")
            elif shapes[name] != wanted:
                wrong.append(f"{name} is {shapes[name]} instead of {wanted}")
    return wrong + [f"{name} is unknown" for name in shapes if name not in known and not re.fullmatch(extras, name)]


def export_weights(model: Model) -> dict[str, Tensor]:
    """The weights under Hugging Face names without prefix: a state dict of BertModel, GPT2Model, LlamaModel, …"""
    return {
        name: (part.T if slot.transposed else part).contiguous()
        for slot in slots(model)
        for part, name in zip(slot.split(slot.parameter.detach()), slot.names, strict=True)
    }


def write_folder(model: Model, folder: Path, **tokens: int) -> None:
    """Write config.json and model.safetensors into `folder`, creating it if needed, as transformers reads them.

    tokens: special token entries of config.json, such as pad_token_id.
    """
    form, size, layout = format_of(model), model.size, model.layout
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {**vars(size), "key_value_heads": size.groups, "head_size": size.width}
    config = {
        "model_type": layout.name,
        "architectures": [form.architecture],
        **{theirs: sizes[ours] for ours, theirs in form.sizes.items()},
        **dict.fromkeys(form.dropouts, size.dropout),
        **{name: values[0] for name, values in form.implemented.items()},
        **tokens,
    }
    if layout.name == "llama":
        config |= {"rms_norm_eps": layout.epsilon, "tie_word_embeddings": layout.tied}
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": size.rotary_base or ROTARY_BASE}
    if isinstance(size, T5Size):
        config |= {"num_decoder_layers": size.decoder_layers, "is_encoder_decoder": True}
        config |= {"tie_word_embeddings": layout.scaled_output if layout.name == "t5" else layout.tied}
    write_json(folder / "config.json", config)
    tensors = {
        ("" if name.startswith("lm_head.") else form.prefix) + name: tensor
        for name, tensor in export_weights(model).items()
    }
    write_tensors(folder / "model.safetensors", tensors)


@dataclass(frozen=True)
class _Index:
    """model.safetensors.index.json."""

    weight_map: dict[str, str]


def weight_files(folder: str | Path) -> list[Path]:
    """model.safetensors or its shards. Raises GeneraError when there are none, or only a pickle."""
    folder = Path(folder)
    if (folder / _INDEX).exists():
        files = [
            folder / name
            for name in sorted(set(read_typed(folder / _INDEX, _Index, "fetch it again")["weight_map"].values()))
        ]
        if missing := [file.name for file in files if not file.exists()]:
            raise GeneraError(f"{folder} lacks {', '.join(missing)}, listed in {_INDEX}; fetch them again.")
        return files
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    if (folder / "pytorch_model.bin").exists():
        raise GeneraError(
            f"{folder} has only pytorch_model.bin, a pickle, which can run arbitrary code when loaded; "
            "convert it to model.safetensors, for example with save_pretrained of transformers."
        )
    raise GeneraError(f"{folder} has no model.safetensors; give a folder with config.json and model.safetensors.")
