"""Fine-tuning on HANNA (Nguyen & Daumé 2019): walking with help on request, taught where to go and, in hindsight, where
to ask.

Axes: B agents, T steps, A slots, L tokens, R routes of the helper.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from genera.engine.capabilities import Walk
from genera.engine.method import Stage
from genera.engine.player import Terms
from genera.engine.step import Step
from genera.methods.prevalent.agents.episodes import Aid, EpisodeBatch, EpisodeData, Episodes
from genera.methods.prevalent.agents.finetuning import ROWS_AT_ONCE, Walking, arrival, stacked
from genera.methods.prevalent.agents.hanna_network import Asker, Sighting
from genera.methods.prevalent.agents.network import Reading
from genera.methods.prevalent.agents.rollouts import draw, evaluating
from genera.methods.prevalent.encoder.network import NavigationEncoder
from genera.navigation.dataset import NavigationData
from genera.navigation.episodes import EpisodeTable
from genera.navigation.helper import Helper
from genera.navigation.town import LARGEST
from genera.navigation.walkers import without_repeats

SUCCESS = 2.0
"""Metres from a goal at which STOP is right, inclusive."""
ACTIONS = 37
"""36 views and STOP: the uncertainty of a choice is its entropy as a share of log 37, as published."""


class Course(NamedTuple):
    """What happened on B walks of at most T steps; nothing happens after an agent's last STOP."""

    walk: Tensor
    """(B, T, A) logits"""
    ask: Tensor
    """(B, T, 2) logits"""
    reasons: Tensor
    """(B, T, 3) logits"""
    attention: Tensor
    """(B, T, L) over the tokens of what was read"""
    actions: Tensor
    """(B, T) slots; not followed where help was asked for"""
    asked: Tensor
    """(B, T) bool"""
    teacher: Tensor
    """(B, T) slots that lead to the target of the moment"""
    active: Tensor
    """(B, T) bool"""
    may_ask: Tensor
    """(B, T) bool"""
    here: Tensor
    """(B, T) nodes where the decisions were made"""
    slots: Tensor
    """(B, T, A) nodes where the slots led"""
    metres: Tensor
    """(B, T) to the target of the moment"""
    part: Tensor
    """(B, T) number of the part of a walk; a request and the end of a route begin the next one"""
    route: Tensor
    """(B, T) the route whose description was followed, -1 for the task itself"""
    nodes: Tensor
    """(B, T + 1)"""


class Helped(Walking):
    """How the agent of HANNA learns. It reads by the text layers alone; what it sees does not reach them."""

    agent: Asker

    def optimiser(self, parameters: list[nn.Parameter], lr: float) -> Optimizer:
        return Adam(parameters, lr=lr, weight_decay=self.config.weight_decay)

    def stages(self, share: float) -> list[Stage]:
        return [self._stage("finetune", share, unfrozen=False)]

    def loss(self, batch: EpisodeBatch, step: Step, unfrozen: bool) -> Terms:
        """What the teachers would have done on walks and requests that the agent draws: means over steps, then over
        episodes."""
        config = self.config
        course = self.walk(batch, config.horizon, step.uniform(len(batch), config.horizon, 3))
        request, reasons = hindsight(course, config.uncertain)
        walks, asks = course.active & ~course.asked, course.active & course.may_ask
        walk = _negative(course.walk, course.teacher) + config.repeat_penalty * repeats(course)
        why = F.binary_cross_entropy_with_logits(course.reasons, reasons.float(), reduction="none").sum(dim=-1)
        terms = {
            "walk": _mean(walk, walks),
            "ask": _mean(_negative(course.ask, request.long()), asks),
            "reasons": _mean(why, asks),
        }
        loss = terms["walk"] + terms["ask"] + terms["reasons"]
        return {"loss": loss, **terms, "requests": course.asked.sum(dim=1).float().mean()}

    def validate(self, batch: EpisodeBatch, step: Step) -> Terms:
        """Success, SPL and requests of greedy walks; `loss`, by which the best checkpoint is chosen, is 1 - SPL."""
        course = self.walk(batch, self.config.evaluation_horizon)
        metres, efficiency = arrival(course.nodes, batch)
        success = (metres <= SUCCESS).float()
        spl = (success * efficiency).mean()
        requests = course.asked.sum(dim=1).float().mean()
        return {"loss": 1 - spl, "success": success.mean(), "spl": spl, "requests": requests}

    # -- data ---------------------------------------------------------------------------------------------------------

    def data(self, data: NavigationData, artefacts: Path) -> EpisodeData:
        """In training only the training routes help."""
        found = super().data(data, artefacts)
        train = replace(found.splits["train"], aid=self._aid(data, "train"))
        return EpisodeData(found.splits | {"train": train})

    def episodes(self, table: EpisodeTable, data: NavigationData) -> Episodes:
        """Raises GeneraError where the data has no routes of a helper."""
        return replace(super().episodes(table, data), aid=self._aid(data))

    def _aid(self, data: NavigationData, split: str | None = None) -> Aid:
        helper = Helper(data.graphs, data.source.routes(), split)
        tokens = self.rows([route.instruction for route in helper.routes], data.config.max_tokens)
        routes = torch.from_numpy(tokens)
        return Aid(helper, routes, self._encoded(routes))

    @torch.no_grad()
    def _encoded(self, routes: Tensor) -> Tensor | None:
        """(R, L, D) the text layers' states of all routes, which are frozen; None without them, or where all the states
        would be too large to keep."""
        if self.encoder is None or 4 * routes.numel() * self.encoder.size > LARGEST:
            return None
        device = next(self.encoder.parameters()).device
        with evaluating(self.encoder):
            parts = [self.encoder.text(part, part != 0) for part in routes.to(device).split(ROWS_AT_ONCE)]
        return torch.cat(parts)

    # -- walking ------------------------------------------------------------------------------------------------------

    def walk(self, batch: EpisodeBatch, horizon: int, uniform: Tensor | None = None) -> Course:
        """Let the agents of a batch walk and ask until all have stopped, or for `horizon` steps.

        uniform: (B, T, 3) numbers in [0, 1) that draw actions, requests and routes; None takes the likeliest ones.
        """
        town, node, view, aid = batch.town, batch.node, batch.view, batch.aid
        pictures = None if batch.pictures is None else batch.pictures[:, None]
        before = town.candidate_features(node, view)[:, 0]  # that of STOP: nothing
        helps = torch.zeros_like(town.first, dtype=torch.bool)
        if aid is not None:
            helps = torch.from_numpy(aid.helper.can_request).to(node.device)
        depart, route, part = node, torch.full_like(node, -1), torch.zeros_like(node)
        ended = torch.zeros_like(node, dtype=torch.bool)
        texts = Texts(self.agent, self.encoder, batch)
        memory, steps, nodes = None, [], [node]
        for t in range(horizon):
            chance = None if uniform is None else uniform[:, t]
            guided = route >= 0
            metres, target = town.nearest(node, batch.goals)
            metres = torch.where(guided, town.distance(node, depart), metres)
            target = torch.where(guided, depart, target)
            sight = town.observe(node, view, pictures)
            shown = town.panorama(depart, view, pictures) * guided[:, None, None]
            may_ask = helps[node]
            seen = Sighting(sight.panorama, sight.candidates, sight.valid, before, shown, may_ask)
            decision = self.agent(texts.reading, seen, memory)
            memory = decision.memory
            action = _pick(decision.walk.detach(), None if chance is None else chance[:, 0])
            asked = ~ended & (_pick(decision.ask.detach(), None if chance is None else chance[:, 1]) == 1)
            decided = decision.walk, decision.ask, decision.reasons, decision.attention, action, asked
            there = town.candidates(node, view)[0]
            place = town.expert(node, view, target), ~ended, may_ask, node, there, metres, part, route
            steps.append((*decided, *place))

            taken = torch.where(ended | asked, 0, action)
            stops = ~ended & ~asked & (action == 0)
            before = sight.candidates.gather(1, taken[:, None, None].expand(-1, 1, before.shape[1]))[:, 0]
            node, view = town.move(node, view, taken)
            follows = torch.where(stops, -1, route)
            if not node.is_meta and bool(asked.any()):
                start, follows, depart = self._helped(batch, asked, node, follows, depart, chance)
                node, view = start, town.move(node, view, town.slot_to(node, view, start))[1]
            part = part + (asked | (stops & guided))
            ended = ended | (stops & ~guided)
            texts.follow(follows, follows != route)
            route = follows
            nodes.append(node)
            if node.is_meta or bool(ended.all()):  # as in `rollout`
                break
        columns = (torch.stack(column, dim=1) for column in zip(*steps, strict=True))
        made: dict[str, Any] = dict(zip(Course._fields[:-1], columns, strict=True))
        return Course(**made, nodes=torch.stack(nodes, dim=1))

    def _helped(
        self, batch: EpisodeBatch, asked: Tensor, node: Tensor, route: Tensor, depart: Tensor, chance: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) where agents are, the routes they follow and where they should leave them, after those who asked were
        answered."""
        assert batch.aid
        rows = asked.nonzero()[:, 0]
        ties = None if chance is None else chance[rows, 2].cpu().numpy()
        found = batch.aid.helper.answer(node[rows].cpu().numpy(), batch.goals[rows].cpu().numpy(), ties)
        answered = (torch.from_numpy(part).to(node.device) for part in (found.start, found.route, found.depart))
        return tuple(  # type: ignore[return-value]
            old.index_put((rows,), new) for old, new in zip((node, route, depart), answered, strict=True)
        )

    @torch.inference_mode()
    def navigate(self, table: EpisodeTable, data: NavigationData) -> Walk:
        """Greedy walks of every episode, with how often each asked and the words that it attended to at each node.

        The words are those of the task and then of every route that was followed.
        """
        paths, requests, heeded = [], [], []
        for batch in self.batches(table, data):
            course = self.walk(batch, self.config.evaluation_horizon)
            paths.append(course.nodes.cpu().numpy())
            requests.append(course.asked.sum(dim=1).cpu().numpy())
            heeded += [self._heeded(batch, course, row) for row in range(len(batch))]
        attention, words = zip(*heeded, strict=True)
        return Walk(without_repeats(stacked(paths)), np.concatenate(requests), list(attention), list(words))

    def _heeded(self, batch: EpisodeBatch, course: Course, row: int) -> tuple[NDArray[np.float32], list[str]]:
        """Of one walk: attention (steps, words), 0 for words that were not read at a step, and the words. Of several
        decisions at one node, as before and after a request, the last one counts."""
        active = course.active[row]
        moved = course.nodes[row, 1:] != course.nodes[row, :-1]
        told = active & (moved | ~F.pad(active[1:], (0, 1)))
        routes, weights = course.route[row, told], course.attention[row, told]
        columns, words = [], list[str]()
        for route in dict.fromkeys(routes.tolist()):
            tokens = batch.tokens[row] if route < 0 or batch.aid is None else batch.aid.tokens[route]
            ids = tokens[tokens != 0].tolist()
            columns.append(weights[:, : len(ids)] * (routes == route)[:, None])
            words += self.assets.tokeniser.pieces(ids)
        return torch.cat(columns, dim=1).cpu().numpy(), words


class Texts:
    """What B agents read: their tasks, or the routes they were given. A task is read once, a route whenever given; the
    frozen layers below run once for a route, if the helper has kept their states."""

    def __init__(self, agent: Asker, encoder: NavigationEncoder | None, batch: EpisodeBatch) -> None:
        self._agent, self._encoder, self._aid = agent, encoder, batch.aid
        self._routes = batch.tokens[:1] if batch.aid is None else batch.aid.tokens.to(batch.tokens.device)
        self._width = max(batch.tokens.shape[1], self._routes.shape[1])
        self._home = self.reading = self._read(batch.tokens)

    def follow(self, route: Tensor, changed: Tensor) -> None:
        """From now on read these routes (B,), -1 for the task; changed: (B,) where that is another text than before."""
        if route.is_meta or not bool(changed.any()):
            return
        home = changed & (route < 0)
        states = torch.where(home[:, None, None], self._home.states, self.reading.states)
        mask = torch.where(home[:, None], self._home.mask, self.reading.mask)
        rows = (changed & ~home).nonzero()[:, 0]
        if len(rows):
            new = self._read(self._routes[route[rows]], route[rows])
            states, mask = states.index_put((rows,), new.states), mask.index_put((rows,), new.mask)
        self.reading = Reading(states, mask)

    def _read(self, tokens: Tensor, route: Tensor | None = None) -> Reading:
        """Computed as wide as the longest of these texts, kept as wide as any. route: whose texts they are."""
        if not tokens.is_meta:
            tokens = tokens[:, : int((tokens != 0).sum(dim=1).max())]
        states, mask = self._agent.read(self._encoded(tokens, route), tokens != 0)
        missing = self._width - tokens.shape[1]
        return Reading(F.pad(states, (0, 0, 0, missing)), F.pad(mask, (0, missing)))

    @torch.no_grad()
    def _encoded(self, tokens: Tensor, route: Tensor | None) -> Tensor:
        if self._encoder is None:
            return tokens
        if route is not None and self._aid and self._aid.states is not None:
            return self._aid.states[route, : tokens.shape[1]]
        return self._encoder.text(tokens, tokens != 0)


def hindsight(course: Course, uncertain: float) -> tuple[Tensor, Tensor]:
    """Where one should have asked, (B, T), and whether each reason held, (B, T, 3), as one knows afterwards.

    lost: in this part of the walk the target was nearest some steps ago. uncertain_wrong: the likeliest action was
    wrong, and the entropy of the choice at least `uncertain` · log 37. already_asked: at this viewpoint; not again.
    """
    steps = torch.arange(course.part.shape[1], device=course.part.device)
    earlier = steps < steps[:, None]  # (t, s): s before t
    same = (course.part[:, :, None] == course.part[:, None]) & course.active[:, None]  # (B, t, s)
    metres = course.metres[:, None].expand(same.shape).masked_fill(~same, torch.inf)
    nearest = metres <= metres.amin(dim=2, keepdim=True)
    lost = steps > torch.where(nearest & same, steps, -1).amax(dim=2)
    logs = course.walk.log_softmax(dim=-1)
    entropy = -(logs.exp() * logs.masked_fill(torch.isinf(logs), 0.0)).sum(dim=-1)
    wrong = course.walk.argmax(dim=-1) != course.teacher
    unsure = wrong & (entropy >= uncertain * math.log(ACTIONS))
    here = course.here[:, :, None] == course.here[:, None]
    already = (here & earlier & course.asked[:, None]).any(dim=2)
    request = (lost | unsure) & ~already & course.may_ask
    return request, torch.stack([lost, unsure, already], dim=-1)


def repeats(course: Course) -> Tensor:
    """(B, T) the mean log-probability of the neighbours that were wrongly chosen at the same place under the same
    instruction before; 0 where none was."""
    steps = torch.arange(course.part.shape[1], device=course.part.device)
    mistaken = course.active & ~course.asked & (course.actions != course.teacher)
    same = (course.here[:, :, None] == course.here[:, None]) & (course.route[:, :, None] == course.route[:, None])
    chosen = course.slots.gather(2, course.actions[..., None])[..., 0]
    slot = (course.slots[:, :, None] == chosen[:, None, :, None]).int().argmax(dim=-1)  # (B, t, s)
    again = same & mistaken[:, None] & (steps < steps[:, None]) & (slot != course.teacher[:, :, None])
    logs = course.walk.log_softmax(dim=-1).gather(2, torch.where(again, slot, 0))
    return (logs * again).sum(dim=2) / again.sum(dim=2).clamp(min=1)


def _pick(logits: Tensor, uniform: Tensor | None) -> Tensor:
    return logits.argmax(dim=-1) if uniform is None else draw(logits, uniform)


def _negative(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, T) cross-entropies."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """Of values (B, T) over the steps that are there, then over the rows; a row without any counts as 0."""
    return (values.where(there, 0.0).sum(dim=1) / there.sum(dim=1).clamp(min=1)).mean()
