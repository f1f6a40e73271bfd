"""Reads the released PREVALENT checkpoint, whose names for the encoder and the two heads are mapped to ours."""

from pathlib import Path

from genera.blocks.pretrained import Slot, fill, slots
from genera.errors import GeneraError
from genera.methods.prevalent.encoder.network import NavigationEncoder, Pretrainer

_SELF = ["self.query", "self.key", "self.value"]
_CROSS = {
    "attention.qkv": [f"visual_attention.att.{part}" for part in ("query", "key", "value")],
    "attention.out": ["visual_attention.output.dense"],
    "attention_norm": ["visual_attention.output.LayerNorm"],
    **{
        f"{ours}.{layer}": [f"{theirs}{name}" for name in names]
        for ours, theirs in (("text", "lang"), ("image", "visn"))
        for layer, names in {
            "attention.qkv": [f"_self_att.{part}" for part in _SELF],
            "attention.out": ["_self_att.output.dense"],
            "attention_norm": ["_self_att.output.LayerNorm"],
            "feed_forward.up": ["_inter.dense"],
            "feed_forward.down": ["_output.dense"],
            "feed_forward_norm": ["_output.LayerNorm"],
        }.items()
    },
}
_HEADS = {
    "words.bias": "mlmhead.predictions.bias",
    "words.transform": "mlmhead.predictions.transform.dense",
    "words.norm": "mlmhead.predictions.transform.LayerNorm",
    "actions.pooler": "pooler.dense",
    "actions.action": "next_action.linear",
}
# Tensors that are ignored: heads that the network does not have, and the second copy of the word embeddings.
_EXTRAS = r"mlmhead\..*|next_action\..*|pooler\..*"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def encoder_slots(encoder: NavigationEncoder) -> list[Slot]:
    """Every tensor of the encoder under its released name, without the prefix "bert."."""
    words = [
        Slot(parameter, [name.replace("encoder.layer.", "lalayer.") for name in names])
        for parameter, names, *_ in slots(encoder.words)
    ]
    cross = [
        Slot(parameter, [f"addlayer.{number}.{part}.{kind}" for part in _CROSS[layer]])
        for number, module in enumerate(encoder.layers)
        for name, parameter in module.named_parameters()
        for layer, _, kind in [name.rpartition(".")]
    ]
    view = {"visn_fc": encoder.view, "visn_layer_norm": encoder.view_norm}
    return [
        *words,
        *(
            Slot(p, [f"vision_encoder.{theirs}.{kind}"])
            for theirs, m in view.items()
            for kind, p in m.named_parameters()
        ),
        *cross,
    ]


def head_slots(network: Pretrainer) -> list[Slot]:
    """Every tensor of the heads that the network has, under its released name."""
    targets = []
    for name, parameter in network.named_parameters():
        if not name.startswith("encoder."):
            layer, _, kind = name.rpartition(".")
            targets.append(Slot(parameter, [_HEADS[name] if name in _HEADS else f"{_HEADS[layer]}.{kind}"]))
    return targets


def read_released(network: Pretrainer | NavigationEncoder, path: str | Path) -> None:
    """Load an encoder, or an encoder and its heads, from a safetensors file with the released names.

    Raises GeneraError, before anything is changed, with every missing, unknown or misshapen tensor; and for a pickle,
    which the released file is.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise GeneraError(f"{path} does not exist; give the safetensors file of a pre-trained encoder.")
    if path.suffix in _PICKLES:
        raise GeneraError(
            f"{path} is a pickle, which may run any code when it is read; convert it once: torch.load(FILE, "
            "weights_only=True), clone every tensor, and safetensors.torch.save_file."
        )
    targets = encoder_slots(network.encoder if isinstance(network, Pretrainer) else network)
    if isinstance(network, Pretrainer):
        targets += head_slots(network)
    fill(targets, {path: ""}, _EXTRAS, f"the weights in {path} do not fit this encoder")
