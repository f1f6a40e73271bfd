"""BERT and GPT-2 in the Hugging Face layout: read from a folder or the hub, written to a folder."""

import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genera.blocks.bert import Bert
from genera.blocks.gpt2 import Gpt2
from genera.blocks.size import TransformerSize
from genera.errors import GeneraError
from genera.files import read_json, write_json, write_tensors

# Our layer (with "{}" for the number of a block) → theirs. Several of theirs are concatenated into one of ours.
_BERT = {
    "tokens": ["embeddings.word_embeddings"],
    "positions": ["embeddings.position_embeddings"],
    "segments": ["embeddings.token_type_embeddings"],
    "norm": ["embeddings.LayerNorm"],
    "blocks.{}.attention.qkv": [f"encoder.layer.{{}}.attention.self.{part}" for part in ("query", "key", "value")],
    "blocks.{}.attention.out": ["encoder.layer.{}.attention.output.dense"],
    "blocks.{}.attention_norm": ["encoder.layer.{}.attention.output.LayerNorm"],
    "blocks.{}.feed_forward.up": ["encoder.layer.{}.intermediate.dense"],
    "blocks.{}.feed_forward.down": ["encoder.layer.{}.output.dense"],
    "blocks.{}.feed_forward_norm": ["encoder.layer.{}.output.LayerNorm"],
    "pooler": ["pooler.dense"],
}
_GPT2 = {
    "tokens": ["wte"],
    "positions": ["wpe"],
    "blocks.{}.attention_norm": ["h.{}.ln_1"],
    "blocks.{}.attention.qkv": ["h.{}.attn.c_attn"],
    "blocks.{}.attention.out": ["h.{}.attn.c_proj"],
    "blocks.{}.feed_forward_norm": ["h.{}.ln_2"],
    "blocks.{}.feed_forward.up": ["h.{}.mlp.c_fc"],
    "blocks.{}.feed_forward.down": ["h.{}.mlp.c_proj"],
    "norm": ["ln_f"],
}
# Extra tensors in their files that a bare model does not need: heads, and buffers of old versions.
BERT_EXTRAS = r"cls\..*|pooler\..*|classifier\..*|embeddings\.position_ids"
GPT2_EXTRAS = r"lm_head\.weight|h\.\d+\.attn\.(masked_)?bias"
_TENSORFLOW = {"gamma": "weight", "beta": "bias"}
_INDEX = "model.safetensors.index.json"
_CLASSES = {"bert": "BertModel", "gpt2": "GPT2LMHeadModel"}
# Our sizes → entries of their config.json.
_SIZES = {
    "bert": {
        "layers": "num_hidden_layers",
        "hidden": "hidden_size",
        "heads": "num_attention_heads",
        "feed_forward": "intermediate_size",
        "positions": "max_position_embeddings",
        "vocabulary": "vocab_size",
    },
    "gpt2": {
        "layers": "n_layer",
        "hidden": "n_embd",
        "heads": "n_head",
        "feed_forward": "n_inner",
        "positions": "n_positions",
        "vocabulary": "vocab_size",
    },
}
_DROPOUTS = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
}
# Other entries of config.json and the values that these blocks implement; the first is the default.
_IMPLEMENTED: dict[str, dict[str, tuple[Any, ...]]] = {
    "bert": {
        "hidden_act": ("gelu",),
        "layer_norm_eps": (1e-12,),
        "position_embedding_type": ("absolute",),
        "type_vocab_size": (2,),
        "is_decoder": (False,),
    },
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "layer_norm_epsilon": (1e-5,),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
        "tie_word_embeddings": (True,),
    },
}


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


def read_size(folder: str | Path, kind: str) -> TransformerSize:
    """The size in config.json. kind: "bert" or "gpt2".

    Raises GeneraError for another kind of model, or a variant that these blocks do not implement.
    """
    path = Path(folder) / "config.json"
    config = read_json(path)
    if config.get("model_type") != kind:
        raise GeneraError(f"{path} describes model_type {config.get('model_type')!r}; expected {kind!r}.")
    for name, values in _IMPLEMENTED[kind].items():
        if config.get(name, values[0]) not in values:
            known = " or ".join(map(repr, values))
            raise GeneraError(f"{path}: {name} is {config[name]!r}; only {known} is implemented.")
    dropouts = {name: config.get(name, 0.1) for name in _DROPOUTS[kind]}
    if len(set(dropouts.values())) > 1:
        raise GeneraError(f"{path} has several dropout rates, {dropouts}; set them to one value.")
    try:
        if kind == "gpt2" and config.get("n_inner") is None:
            config["n_inner"] = 4 * config["n_embd"]
        sizes = {ours: config[theirs] for ours, theirs in _SIZES[kind].items()}
        return TransformerSize(**sizes, dropout=dropouts[_DROPOUTS[kind][0]])
    except KeyError as missing:
        raise GeneraError(f"{path} has no entry {missing}; fetch it again.") from None


class Slot(NamedTuple):
    """How files store a parameter: the names of its parts, and whether they are transposed."""

    parameter: Tensor
    names: list[str]
    transposed: bool = False


def slots(model: Bert | Gpt2, prefix: str = "") -> list[Slot]:
    """The parameters of `model` under their Hugging Face names, with `prefix` prepended.

    GPT-2 stores projections (c_…) as (in, out), while a linear layer has (out, in).
    """
    table, targets = _BERT if isinstance(model, Bert) else _GPT2, []
    for name, parameter in model.named_parameters():
        layer, _, kind = name.rpartition(".")
        number = re.search(r"\d+", layer)
        theirs = table[re.sub(r"\d+", "{}", layer)]
        names = [f"{prefix}{part.format(number and number[0])}.{kind}" for part in theirs]
        targets.append(Slot(parameter, names, ".c_" in names[0] and kind == "weight"))
    return targets


def load_weights(model: Bert | Gpt2, folder: str | Path) -> None:
    """Load the model from model.safetensors or its shards. Names may have the prefix "bert." or "transformer.".

    Raises GeneraError, before changing the model, with a list of all missing, unknown or misshapen tensors.
    """
    extras = BERT_EXTRAS if isinstance(model, Bert) else GPT2_EXTRAS
    files = dict.fromkeys(weight_files(folder), "")
    fill(slots(model), files, extras, f"the weights in {folder} do not fit {model.size}")


def fill(targets: list[Slot], files: dict[Path, str], extras: str, misfit: str) -> None:
    """Copy tensors from safetensors files into parameters.

    files: file → prefix for its names, after removing "bert." or "transformer.".
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
            stored |= {prefix + _plain(name): (file, name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        shapes = {name: tuple(file.get_slice(in_file).get_shape()) for name, (file, in_file) in stored.items()}
        if wrong := _misfits(targets, shapes, extras):
            raise GeneraError(f"{misfit}: {'; '.join(wrong)}.")
        for parameter, names, transposed in targets:
            parts = [file.get_tensor(name) for file, name in map(stored.__getitem__, names)]
            parameter.copy_(torch.cat([part.T if transposed else part for part in parts]))


def _misfits(targets: list[Slot], shapes: dict[str, tuple[int, ...]], extras: str) -> list[str]:
    wrong, known = [], set()
    for parameter, names, transposed in targets:
        rows, *rest = parameter.shape
        shape = (rows // len(names), *rest)
        for name in names:
            known.add(name)
            wanted = shape[::-1] if transposed else shape
            if name not in shapes:
                wrong.append(f"{name} is missing")
            elif shapes[name] != wanted:
                wrong.append(f"{name} is {shapes[name]} instead of {wanted}")
    return wrong + [f"{name} is unknown" for name in shapes if name not in known and not re.fullmatch(extras, name)]


def export_weights(model: Bert | Gpt2) -> dict[str, Tensor]:
    """The weights under Hugging Face names without prefix: a state dict of BertModel or GPT2Model."""
    tensors = {}
    for parameter, names, transposed in slots(model):
        for name, part in zip(names, parameter.detach().chunk(len(names)), strict=True):
            tensors[name] = (part.T if transposed else part).contiguous()
    return tensors


def write_folder(model: Bert | Gpt2, folder: Path, **tokens: int) -> None:
    """Write config.json and model.safetensors of a BertModel or a GPT2LMHeadModel into `folder`, creating it if needed.

    tokens: special token entries of config.json, such as pad_token_id.
    """
    kind = "bert" if isinstance(model, Bert) else "gpt2"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": kind,
        "architectures": [_CLASSES[kind]],
        **{theirs: getattr(model.size, ours) for ours, theirs in _SIZES[kind].items()},
        **dict.fromkeys(_DROPOUTS[kind], model.size.dropout),
        **{name: values[0] for name, values in _IMPLEMENTED[kind].items()},
        **tokens,
    }
    write_json(folder / "config.json", config)
    prefix = "transformer." if kind == "gpt2" else ""
    tensors = {prefix + name: tensor for name, tensor in export_weights(model).items()}
    write_tensors(folder / "model.safetensors", tensors)


def _plain(name: str) -> str:
    """Removes the prefix and the TensorFlow names of LayerNorm, which bert-base-cased has on the hub."""
    name = re.sub(r"^(bert|transformer)\.", "", name)
    return re.sub(r"LayerNorm\.(gamma|beta)$", lambda m: f"LayerNorm.{_TENSORFLOW[m[1]]}", name)


def weight_files(folder: str | Path) -> list[Path]:
    """model.safetensors or its shards. Raises GeneraError when there are none, or only a pickle."""
    folder = Path(folder)
    if (folder / _INDEX).exists():
        files = [folder / name for name in sorted(set(read_json(folder / _INDEX)["weight_map"].values()))]
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
