"""Fine-tuning of an agent, as far as the tasks share it: stages, players, instructions, validation, greedy rollouts.

A task's agent is a subclass of `Agent` that brings its loss and the text that it reads.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.optimisers import build_optimiser
from genera.engine.capabilities import Walk
from genera.engine.method import Stage
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.measures.navigation import SUCCESS_RADIUS
from genera.methods.prevalent.agents.episodes import EpisodeBatch, EpisodeData, Episodes, sketch
from genera.methods.prevalent.agents.rollouts import (
    EmbeddedInstructions,
    EncodedInstructions,
    Instructions,
    Trace,
    eval_mode,
    greedy,
    rollout,
    teacher_forced,
)
from genera.methods.prevalent.encoder.network import NavigationEncoder
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.episodes import EpisodeTable
from genera.navigation.tokens import token_rows
from genera.navigation.walkers import without_repeats

INFERENCE_BATCH = 64
"""Episodes of a rollout batch outside of training."""


class Agent:
    """An agent of one task: its network, the encoder that reads its instructions, and how they are fine-tuned.

    Not a module: the method that builds it registers the networks.
    """

    def __init__(
        self, network: nn.Module, encoder: NavigationEncoder | None, config: Any, assets: NavigationAssets
    ) -> None:
        """encoder: None where the network has word embeddings of its own."""
        self.network, self.encoder, self.config, self.assets = network, encoder, config, assets

    # -- what each task defines ---------------------------------------------------------------------------------------

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """unfrozen: whether the encoder's cross layers learn too."""
        raise TypeError(f"{type(self).__name__} must define loss()")

    def tokens(self, table: EpisodeTable, max_tokens: int) -> NDArray[np.int64]:
        """(E, L) tokens that the agent reads in each episode, at most `max_tokens`."""
        return self.token_rows([episode.instruction for episode in table.episodes], max_tokens)

    def synthetic_episodes(self, data: NavigationData) -> Episodes | None:
        """Episodes for every second row of a training batch; None for real ones alone."""
        return None

    def prepare(self, batch: EpisodeBatch, step: Step) -> EpisodeBatch:
        """Complete a training batch before the loss is computed on it."""
        return batch

    # -- training -----------------------------------------------------------------------------------------------------

    def stages(self, share: float) -> list[Stage]:
        """First the agent's network on top of the frozen encoder; then, with `unfreeze`, also the encoder's cross
        layers, at a lower learning rate."""
        unfreeze = self.config.unfreeze
        stages = [self._stage("finetune", (1 - unfreeze) * share, unfrozen=False)]
        return [*stages, self._stage("unfreeze", unfreeze * share, unfrozen=True)] if unfreeze else stages

    def _stage(self, name: str, share: float, unfrozen: bool) -> Stage:
        return Stage(
            name,
            players=partial(self.players, unfrozen),
            update=partial(self.update, unfrozen=unfrozen),
            share=share,
            data=self.data,
            batch_size=self.config.batch_size,
            validate=self.validate,
            sketch=lambda rows: sketch(self.assets, rows),
            basis=f"episodes of the longest instructions, one step of at most {self.config.horizon} of each rollout",
        )

    def players(self, unfrozen: bool) -> dict[str, Player]:
        network = nn.ModuleList([self.network, self.encoder.layers]) if unfrozen and self.encoder else self.network
        parameters = [p for p in network.parameters() if p.requires_grad]
        config = self.config
        rates = {"lr": config.unfrozen_lr if unfrozen else config.lr, "weight_decay": config.weight_decay}
        optimiser = build_optimiser(config.optimiser, parameters, **rates)
        return {"agent": Player(network, optimiser, lambda step, progress: 1.0)}

    def update(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> None:
        step.minimise("agent", partial(self._training_loss, unfrozen=unfrozen), self.prepare(batch, step))

    def _training_loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        with eval_mode(self.encoder):  # frozen layers have no dropout
            if unfrozen and self.encoder:
                self.encoder.layers.train()
            return self.loss(batch, step, unfrozen)

    def data(self, data: NavigationData, artefacts: Path) -> EpisodeData:
        splits = {split: self.episodes(data.table(split), data) for split in ("train", "valid") if data.size(split)}
        return EpisodeData(splits, self.synthetic_episodes(data))

    def validate(self, batch: EpisodeBatch, step: Step) -> Terms:
        """Success and SPL of greedy rollouts, and the imitation loss. `loss`, which selects the best checkpoint, is
        1 - SPL: the imitation loss does not predict success."""
        instructions = self.instructions(batch)
        trace = rollout(self.network, instructions, batch, greedy, self.config.horizon)
        demonstration = rollout(self.network, instructions, batch, teacher_forced, self.config.horizon)
        metres, efficiency = arrival(trace.nodes, batch)
        success = (metres < SUCCESS_RADIUS).float()
        spl = success * efficiency
        return {
            "loss": 1 - spl.mean(),
            "success": success.mean(),
            "spl": spl.mean(),
            "imitation": imitation_loss(demonstration).mean(),
        }

    def instructions(self, batch: EpisodeBatch, unfrozen: bool = False) -> Instructions:
        if self.encoder is None:
            return EmbeddedInstructions(self.network, batch.tokens)
        return EncodedInstructions(self.network, self.encoder, batch.tokens, unfrozen)

    def episodes(self, table: EpisodeTable, data: NavigationData) -> Episodes:
        """The episodes of a table as this agent perceives them, with the modality of its config."""
        max_tokens = data.config.max_tokens
        tokens = self.tokens(table, max_tokens)
        return Episodes.of(table, tokens, data.town, max_tokens, hide_views=self.config.modality == "language")

    def token_rows(
        self, texts: Sequence[str], max_tokens: int, keep: Literal["first", "last"] = "first"
    ) -> NDArray[np.int64]:
        """`genera.navigation.tokens.token_rows`; of empty texts for an agent that uses vision alone."""
        if self.config.modality == "vision":
            texts, max_tokens = [""] * len(texts), 2  # [CLS] [SEP]
        return token_rows(self.assets.tokeniser, texts, max_tokens, keep)

    # -- inference -----------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy rollouts of every episode, with the attention over words at each step."""
        paths, attention, words = [], [], []
        for batch in self.batches(table, data):
            trace = rollout(self.network, self.instructions(batch), batch, greedy, self.config.horizon)
            paths.append(trace.nodes.cpu().numpy())
            for ids, weights, active in zip(batch.tokens, trace.attention, trace.active, strict=True):
                length = int((ids != 0).sum())
                attention.append(weights[active, :length].cpu().numpy())
                words.append(self.assets.tokeniser.pieces(ids[:length].tolist()))
        return Walk(without_repeats(stack_paths(paths)), attention=attention, words=words)

    def batches(self, table: EpisodeTable, data: NavigationData) -> Iterator[EpisodeBatch]:
        """The episodes of a table in order, on the agent's device."""
        episodes, device = self.episodes(table, data), next(self.network.parameters()).device
        for rows in torch.arange(len(table)).split(INFERENCE_BATCH):
            yield episodes.batch(rows).to(device)


def stack_paths(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(E, T) the rows of several arrays of paths, padded with -1 to the same length."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in parts])


def imitation_loss(trace: Trace) -> Tensor:
    """(B,) negative log-likelihood of the teacher's actions, summed over the steps of each rollout."""
    losses = F.cross_entropy(trace.logits.flatten(0, 1), trace.teacher.flatten(), reduction="none")
    return (losses.view(trace.active.shape) * trace.active).sum(dim=1)


def arrival(nodes: Tensor, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
    """Of rollouts (B, T + 1): metres (B,) from the last node to the nearest goal, and the path efficiency (B,) of SPL,
    the shortest distance to that goal divided by the distance walked (at most 1)."""
    town = batch.town
    metres, goal = town.nearest(nodes[:, -1], batch.goals)
    walked = town.distance(nodes[:, :-1], nodes[:, 1:]).sum(dim=1)
    shortest = town.distance(batch.node, goal)
    return metres, torch.nan_to_num(shortest / torch.maximum(shortest, walked), nan=1.0).float()
