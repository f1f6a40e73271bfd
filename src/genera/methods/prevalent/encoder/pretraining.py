"""Pre-training of the encoder (Hao et al. 2020, section 3.2): image-attended masked language modelling and action
prediction, on annotated and synthesised triplets."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from genera.engine.capabilities import PretrainingFigures
from genera.engine.method import Stage
from genera.engine.optimisers import player
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.methods.prevalent.encoder.config import PretrainConfig
from genera.methods.prevalent.encoder.data import TripletData
from genera.methods.prevalent.encoder.figures import held_out_figures, read_figures, write_figures
from genera.methods.prevalent.encoder.network import Pretrainer
from genera.methods.prevalent.encoder.triplets import TripletBatch
from genera.navigation.dataset import InstructedPaths, NavigationAssets, NavigationData


def pretrain_stage(
    network: Pretrainer,
    config: PretrainConfig,
    assets: NavigationAssets,
    max_tokens: int,
    synthetic_paths: Callable[[NavigationData, Path], InstructedPaths | None],
    keep_figures: Callable[[dict[str, PretrainingFigures]], None],
    share: float = 1.0,
) -> Stage:
    """Both losses under the optimiser of `config`.

    max_tokens: of an instruction, for `--dry-run`. synthetic_paths: (data, the run's artefacts) → the
    synthesised set. keep_figures: takes the held-out figures once the stage has finished, or its artefact is read.
    """

    def players() -> dict[str, Player]:
        return {"encoder": player(network, config, clip=config.clip)}

    def loss(batch: TripletBatch, step: Step) -> Terms:
        return objective(network, config, batch)

    def data(opened: NavigationData, artefacts: Path) -> TripletData:
        return TripletData.of(opened, config, synthetic_paths(opened, artefacts))

    def finish(opened: NavigationData, folder: Path) -> None:
        write_figures(folder, held_out_figures(network, TripletData.of(opened, config, None)))

    return Stage(
        "pretrain",
        players,
        lambda batch, step: step.minimise("encoder", loss, batch),
        share=share,
        finish=finish,
        restore=lambda folder: keep_figures(read_figures(folder)),
        data=data,
        batch_size=config.batch_size // config.steps_of_one,
        validate=loss,
        sketch=lambda rows: TripletBatch.sketch(rows, config.steps_of_one, max_tokens, assets.feature_size),
    )


def objective(network: Pretrainer, config: PretrainConfig, batch: TripletBatch) -> Terms:
    """L = w_MLM L_MLM + w_AP L_AP, and the accuracy of the actions."""
    predicted = network(batch.tokens, batch.picked, batch.views)
    terms: Terms = {}
    loss = batch.weight.new_zeros(())
    if predicted.words is not None:
        terms["mlm"] = word_loss(predicted.words, batch)
        loss = loss + config.mlm_weight * terms["mlm"]
    if predicted.actions is not None:
        terms["ap"] = F.cross_entropy(predicted.actions.flatten(0, 1), batch.action.flatten())
        terms["accuracy"] = (predicted.actions.argmax(-1) == batch.action).float().mean()
        loss = loss + config.ap_weight * terms["ap"]
    return {"loss": loss, **terms}


def word_loss(logits: Tensor, batch: TripletBatch) -> Tensor:
    """Mean cross-entropy over the picked words of the global batch, of which these are some rows; 0 where it has none.

    logits: (B, G, P, vocabulary).
    """
    rows, steps = logits.shape[:2]
    words = batch.words[:, None].expand(-1, steps, -1)
    losses = F.cross_entropy(logits.flatten(0, 2), words.flatten(), ignore_index=-1, reduction="none")
    return (losses.view(rows, -1).sum(1) / steps * batch.weight).mean()
