"""The agent of HANNA (Nguyen & Daumé 2019): it navigates and requests help, and imitates a navigation teacher and a
help-request teacher."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genera.engine.capabilities import Walk
from genera.engine.method import Stage
from genera.engine.player import Terms
from genera.engine.step import Step
from genera.measures.navigation import HANNA_RADIUS
from genera.methods.prevalent.agents.episodes import Assistant, EpisodeBatch, EpisodeData, Episodes
from genera.methods.prevalent.agents.finetuning import INFERENCE_BATCH, Agent, arrival, stack_paths
from genera.methods.prevalent.agents.hanna_network import HannaNetwork
from genera.methods.prevalent.agents.hanna_rollouts import HannaTrace, hanna_rollout
from genera.methods.prevalent.agents.hanna_teacher import help_labels, repeated_mistakes
from genera.methods.prevalent.agents.rollouts import eval_mode
from genera.navigation.dataset import NavigationData
from genera.navigation.episodes import EpisodeTable
from genera.navigation.helper import Helper
from genera.navigation.town import LARGEST
from genera.navigation.walkers import without_repeats


class HannaAgent(Agent):
    """Reads with the encoder's text layers alone, which do not depend on the views."""

    network: HannaNetwork

    def stages(self, share: float) -> list[Stage]:
        return [self._stage("finetune", share, unfrozen=False)]

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """L = L_walk + L_ask + L_reasons on sampled rollouts: means over the steps of an episode, then over episodes.

        L_walk includes the penalty α · log p of repeated mistakes.
        """
        config = self.config
        trace = self.rollout(batch, config.horizon, step.uniform(len(batch), config.horizon, 3))
        steps = trace.steps
        should_ask, reasons = help_labels(steps, config.uncertain)

        walk = _cross_entropy(steps.walk, steps.teacher) + config.repeat_penalty * repeated_mistakes(steps)
        ask = _cross_entropy(steps.ask, should_ask.long())
        why = F.binary_cross_entropy_with_logits(steps.reasons, reasons.float(), reduction="none").sum(dim=-1)

        walks, asks = steps.active & ~steps.asked, steps.active & steps.may_ask
        terms = {"walk": _mean(walk, walks), "ask": _mean(ask, asks), "reasons": _mean(why, asks)}
        loss = terms["walk"] + terms["ask"] + terms["reasons"]
        return {"loss": loss, **terms, "requests": steps.asked.sum(dim=1).float().mean()}

    def validate(self, batch: EpisodeBatch, step: Step) -> Terms:
        """Success, SPL and help requests of greedy rollouts. `loss`, which selects the best checkpoint, is 1 - SPL."""
        trace = self.rollout(batch, self.config.evaluation_horizon)
        metres, efficiency = arrival(trace.nodes, batch)
        success = (metres <= HANNA_RADIUS).float()
        spl = (success * efficiency).mean()
        requests = trace.steps.asked.sum(dim=1).float().mean()
        return {"loss": 1 - spl, "success": success.mean(), "spl": spl, "requests": requests}

    def rollout(self, batch: EpisodeBatch, horizon: int, uniform: Tensor | None = None) -> HannaTrace:
        """As `hanna_rollout`, with this agent's network and encoder."""
        return hanna_rollout(self.network, self.encoder, batch, horizon, uniform)

    # -- data ---------------------------------------------------------------------------------------------------------

    def data(self, data: NavigationData, artefacts: Path) -> EpisodeData:
        """In training the helper knows the training routes alone."""
        splits = super().data(data, artefacts).splits
        train = replace(splits["train"], assistant=self._assistant(data, "train"))
        return EpisodeData(splits | {"train": train})

    def episodes(self, table: EpisodeTable, data: NavigationData) -> Episodes:
        """Raises GeneraError for data without a helper's routes."""
        return replace(super().episodes(table, data), assistant=self._assistant(data))

    def _assistant(self, data: NavigationData, split: str | None = None) -> Assistant:
        helper = Helper(data.graphs, data.source.routes(), split)
        instructions = [route.instruction for route in helper.routes]
        tokens = torch.from_numpy(self.token_rows(instructions, data.config.max_tokens))
        return Assistant(helper, tokens, self._route_states(tokens))

    @torch.no_grad()
    def _route_states(self, tokens: Tensor) -> Tensor | None:
        """(R, L, D) outputs of the frozen text layers for all routes; None without an encoder, or if they would not fit
        into memory."""
        if self.encoder is None or 4 * tokens.numel() * self.encoder.size > LARGEST:
            return None
        device = next(self.encoder.parameters()).device
        with eval_mode(self.encoder):
            return torch.cat([self.encoder.text(ids, ids != 0) for ids in tokens.to(device).split(INFERENCE_BATCH)])

    # -- inference ----------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy rollouts of every episode, with the number of help requests and the attention over words at each node.

        The words of an episode are those of its task, followed by those of each route that the agent was given.
        """
        paths, requests, attention, words = [], [], [], []
        for batch in self.batches(table, data):
            trace = self.rollout(batch, self.config.evaluation_horizon)
            paths.append(trace.nodes.cpu().numpy())
            requests.append(trace.steps.asked.sum(dim=1).cpu().numpy())
            for row in range(len(batch)):
                weights, texts = self._attention(batch, trace, row)
                attention.append(weights)
                words.append(texts)
        return Walk(without_repeats(stack_paths(paths)), np.concatenate(requests), attention, words)

    def _attention(self, batch: EpisodeBatch, trace: HannaTrace, row: int) -> tuple[NDArray[np.float32], list[str]]:
        """Of one rollout: attention (nodes, words) and the words. Words of a text that the agent did not follow have 0.
        A node with several decisions, before and after a request, has the attention of the last."""
        steps = trace.steps
        active = steps.active[row]
        moved = trace.nodes[row, 1:] != trace.nodes[row, :-1]
        last_at_node = active & (moved | ~F.pad(active[1:], (0, 1)))
        routes, weights = steps.route[row, last_at_node], steps.attention[row, last_at_node]
        columns, words = [], list[str]()
        for route in dict.fromkeys(routes.tolist()):
            tokens = batch.tokens[row] if route < 0 or batch.assistant is None else batch.assistant.tokens[route]
            ids = tokens[tokens != 0].tolist()
            columns.append(weights[:, : len(ids)] * (routes == route)[:, None])
            words += self.assets.tokeniser.pieces(ids)
        return torch.cat(columns, dim=1).cpu().numpy(), words


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, T) of logits (B, T, K) and labels (B, T)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of values (B, T) over the steps in the mask, then over the rows; a row without any counts as 0."""
    return (values.where(mask, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()
