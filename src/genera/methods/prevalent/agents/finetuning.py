"""What fine-tuning shares over the tasks: stages, players, reading of instructions, validation, walks on request."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from genera.engine.capabilities import Walk
from genera.engine.method import Stage
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.methods.prevalent.agents.episodes import EpisodeBatch, EpisodeData, Episodes, sketch
from genera.methods.prevalent.agents.rollouts import (
    EncodedInstructions,
    Instructions,
    OwnInstructions,
    Trace,
    as_taught,
    evaluating,
    greedy,
    rollout,
)
from genera.methods.prevalent.encoder.network import NavigationEncoder
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.environments import RADIUS
from genera.navigation.episodes import EpisodeTable
from genera.navigation.tokens import token_rows
from genera.navigation.walkers import without_repeats

ROWS_AT_ONCE = 64
"""Episodes walked together outside of training."""


class Walking:
    """A recurrent agent, what reads its instructions, and how they learn. The networks are the method's own."""

    def __init__(
        self, agent: nn.Module, encoder: NavigationEncoder | None, config: Any, assets: NavigationAssets
    ) -> None:
        """encoder: None where the agent has embeddings of its own."""
        self.agent, self.encoder, self.config, self.assets = agent, encoder, config, assets

    # -- what each task brings ----------------------------------------------------------------------------------------

    def optimiser(self, parameters: list[nn.Parameter], lr: float) -> Optimizer:
        raise TypeError(f"{type(self).__name__} must define optimiser()")

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        raise TypeError(f"{type(self).__name__} must define loss()")

    def tokens(self, table: EpisodeTable, longest: int) -> NDArray[np.int64]:
        """(E, L) what the agent reads of each episode, `longest` tokens at most."""
        return self.rows([episode.instruction for episode in table.episodes], longest)

    def synthetic(self, data: NavigationData) -> Episodes | None:
        """Episodes that stand in every second row of a training batch."""
        return None

    def prepare(self, batch: EpisodeBatch, step: Step) -> EpisodeBatch:
        """A batch as it is learnt from."""
        return batch

    # -- learning -----------------------------------------------------------------------------------------------------

    def stages(self, share: float) -> list[Stage]:
        """The agent alone on top of the frozen encoder, then also the encoder's cross layers, more slowly."""
        later = self.config.unfreeze
        stages = [self._stage("finetune", (1 - later) * share, unfrozen=False)]
        return [*stages, self._stage("unfreeze", later * share, unfrozen=True)] if later else stages

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
            basis=f"episodes of the longest instructions, one step of at most {self.config.horizon} of each walk",
        )

    def players(self, unfrozen: bool) -> dict[str, Player]:
        network = nn.ModuleList([self.agent, self.encoder.layers]) if unfrozen and self.encoder else self.agent
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimiser = self.optimiser(parameters, self.config.unfrozen_lr if unfrozen else self.config.lr)
        return {"agent": Player(network, optimiser, lambda step, progress: 1.0)}

    def update(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> None:
        step.minimise("agent", partial(self._learning, unfrozen=unfrozen), self.prepare(batch, step))

    def _learning(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        with evaluating(self.encoder):
            if unfrozen and self.encoder:
                self.encoder.layers.train()
            return self.loss(batch, step, unfrozen)

    def data(self, data: NavigationData, artefacts: Path) -> EpisodeData:
        splits = {split: self.episodes(data.table(split), data) for split in ("train", "valid") if data.size(split)}
        return EpisodeData(splits, self.synthetic(data))

    def validate(self, batch: EpisodeBatch, step: Step) -> Terms:
        """Success and SPL of greedy walks, and the teacher's likelihood. `loss`, by which the best checkpoint is
        chosen, is 1 - SPL: likelihood and success do not go together."""
        instructions = self.instructions(batch)
        trace = rollout(self.agent, instructions, batch, greedy, self.config.horizon)
        taught = rollout(self.agent, instructions, batch, as_taught, self.config.horizon)
        metres, efficiency = arrival(trace.nodes, batch)
        success = (metres < RADIUS).float()
        spl = success * efficiency
        return {
            "loss": 1 - spl.mean(),
            "success": success.mean(),
            "spl": spl.mean(),
            "imitation": imitation(taught).mean(),
        }

    def instructions(self, batch: EpisodeBatch, unfrozen: bool = False) -> Instructions:
        if self.encoder is None:
            return OwnInstructions(self.agent, batch.tokens)
        return EncodedInstructions(self.agent, self.encoder, batch.tokens, unfrozen)

    def episodes(self, table: EpisodeTable, data: NavigationData) -> Episodes:
        """The episodes of a table, as this agent perceives them."""
        longest = data.config.max_tokens
        tokens = self.tokens(table, longest)
        return Episodes.of(table, tokens, data.town, longest, dark=self.config.modality == "language")

    def rows(self, texts: Sequence[str], longest: int, keep: Literal["first", "last"] = "first") -> NDArray[np.int64]:
        """`token_rows` of texts; empty ones for an agent that has vision alone."""
        if self.config.modality == "vision":
            texts, longest = [""] * len(texts), 2  # [CLS] [SEP]
        return token_rows(self.assets.tokeniser, texts, longest, keep)

    # -- use ----------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy walks of every episode, and which words were attended to at each step."""
        paths, attention, words = [], [], []
        for batch in self.batches(table, data):
            trace = rollout(self.agent, self.instructions(batch), batch, greedy, self.config.horizon)
            paths.append(trace.nodes.cpu().numpy())
            for ids, weights, active in zip(batch.tokens, trace.attention, trace.active, strict=True):
                length = int((ids != 0).sum())
                attention.append(weights[active, :length].cpu().numpy())
                words.append(self.assets.tokeniser.pieces(ids[:length].tolist()))
        return Walk(without_repeats(stacked(paths)), attention=attention, words=words)

    def batches(self, table: EpisodeTable, data: NavigationData) -> Iterator[EpisodeBatch]:
        """The episodes of a table in order, on the agent's device."""
        episodes, device = self.episodes(table, data), next(self.agent.parameters()).device
        for rows in torch.arange(len(table)).split(ROWS_AT_ONCE):
            yield episodes.batch(rows).to(device)


def stacked(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(E, T) the rows of several arrays of paths, -1 after the last of the shorter ones."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=-1) for p in parts])


def imitation(trace: Trace) -> Tensor:
    """(B,) the negative log-likelihood of the teacher's actions on walks, summed over their steps."""
    losses = F.cross_entropy(trace.logits.flatten(0, 1), trace.teacher.flatten(), reduction="none")
    return (losses.view(trace.active.shape) * trace.active).sum(dim=1)


def arrival(nodes: Tensor, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
    """Of walks (B, T + 1): metres (B,) from the end to the nearest goal, and the shortest way to that goal as a share
    (B,) of what was walked, the second factor of SPL."""
    town = batch.town
    metres, goal = town.nearest(nodes[:, -1], batch.goals)
    walked = town.distance(nodes[:, :-1], nodes[:, 1:]).sum(dim=1)
    shortest = town.distance(batch.node, goal)
    return metres, torch.nan_to_num(shortest / torch.maximum(shortest, walked), nan=1.0).float()
