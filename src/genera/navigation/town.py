"""The panoramic environment as tensors on one device: batched observations and moves for learned agents.

The rules are those of `genera.navigation.simulator`: this module is built from its tables, and tests check that both
agree. There are two implementations because baselines, environments and scoring need the rules without torch, while
learned agents need them without copies to the host between steps.
All functions take int64 nodes and views of any common shape (...); A is the number of slots, STOP first.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from genera.navigation.config import Layout
from genera.navigation.features import ArrayViews, Views, angle_features, view_angles
from genera.navigation.graphs import HEADINGS, STEP, VIEWS, Graphs
from genera.navigation.simulator import pose_of, slots

LARGEST = 1 << 30
"""Maximum size in bytes of features that are kept on the device; larger ones are gathered on the host."""


class Sight(NamedTuple):
    """Observations: F image features followed by G angle features."""

    panorama: Tensor
    """(..., 36, F + G) all views, with headings relative to the agent and absolute elevations"""
    candidates: Tensor
    """(..., A, F + G) the view that shows each neighbour, with the angles of the neighbour; zeros for STOP and
    padding"""
    valid: Tensor
    """(..., A) bool: STOP and the neighbours"""


@dataclass(frozen=True, eq=False)
class Town:
    """All graphs with view features. Create it with `build`; `to` copies it to a device, once per device."""

    slot_node: Tensor
    """(N · 12, A) int32, the node that a slot leads to, per node and heading; the node itself for STOP and padding"""
    slot_view: Tensor
    """(N · 12, A) int8, the view towards that node; 0 for STOP and padding"""
    slot_valid: Tensor
    """(N · 12, A) bool"""
    slot_angles: Tensor
    """(N · 12, A, 4) sin, cos of the relative heading, sin, cos of the elevation; zeros for STOP and padding"""
    view_angles: Tensor
    """(12, 36, G)"""
    gazes: Tensor
    """(36, G)"""
    distances: Tensor
    """all pairs of each scan, flat, float64 metres"""
    hops: Tensor
    """as in `Graphs`, int16, aligned with `distances`"""
    pair_offset: Tensor
    """(N,) as in `Graphs`"""
    first: Tensor
    """(N,) the first node of the scan of each node"""
    features: Tensor | None
    """(N, 36, F) float16 or float32; None if they stay in `views`"""
    views: Views
    layout: Layout
    _places: dict[torch.device, "Town"] = field(default_factory=dict)
    """device → this town on that device, shared by all copies"""

    @classmethod
    def build(cls, graphs: Graphs, views: Views, angle_size: int = 128, layout: Layout = "block") -> Self:
        """The town of these graphs on the CPU. Raises GeneraError for an angle size that is not a multiple of 4."""
        table = slots(graphs)
        heading = np.take_along_axis(graphs.candidate_heading[:, None], graphs.ranked.astype(np.int64), axis=2)
        elevation = np.take_along_axis(graphs.candidate_elevation[:, None], graphs.ranked.astype(np.int64), axis=2)
        relative = heading - STEP * np.arange(HEADINGS)[:, None]
        angles = angle_features(relative, elevation, 4).reshape(-1, relative.shape[2], 4)
        angles = np.pad(angles, ((0, 0), (1, 0), (0, 0)))
        angles[(table.valid == 0) | (np.arange(table.valid.shape[1]) == 0)] = 0.0
        return cls(
            slot_node=torch.from_numpy(table.node),
            slot_view=torch.from_numpy(table.view),
            slot_valid=torch.from_numpy(table.valid > 0),
            slot_angles=torch.from_numpy(angles),
            view_angles=torch.from_numpy(view_angles(angle_size, layout)),
            gazes=torch.from_numpy(angle_features(*pose_of(np.arange(VIEWS)), angle_size, layout)),
            distances=torch.from_numpy(graphs.distances),
            hops=torch.from_numpy(graphs.hops),
            pair_offset=torch.from_numpy(graphs.pair_offset),
            first=torch.from_numpy(graphs.first[graphs.scan_of]),
            features=_resident(views),
            views=views,
            layout=layout,
        )

    @classmethod
    def sketch(cls, view_size: int, angle_size: int, slots: int) -> Self:
        """A town of one node with the given sizes, for `--dry-run`."""
        features = np.zeros((1, VIEWS, view_size), np.float16)
        return cls(
            slot_node=torch.zeros(HEADINGS, slots, dtype=torch.int32),
            slot_view=torch.zeros(HEADINGS, slots, dtype=torch.int8),
            slot_valid=torch.ones(HEADINGS, slots, dtype=torch.bool),
            slot_angles=torch.zeros(HEADINGS, slots, 4),
            view_angles=torch.zeros(HEADINGS, VIEWS, angle_size),
            gazes=torch.zeros(VIEWS, angle_size),
            distances=torch.zeros(1, dtype=torch.float64),
            hops=torch.zeros(1, dtype=torch.int16),
            pair_offset=torch.zeros(1, dtype=torch.int64),
            first=torch.zeros(1, dtype=torch.int64),
            features=torch.from_numpy(features),
            views=ArrayViews(features),
            layout="block",
        )

    def to(self, device: torch.device | str) -> "Town":
        device = torch.device(device)
        self._places.setdefault(self.slot_node.device, self)
        if device not in self._places:
            values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
            values |= {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
            self._places[device] = replace(self, **values)
        return self._places[device]

    @property
    def slots(self) -> int:
        """A."""
        return self.slot_node.shape[1]

    @property
    def view_size(self) -> int:
        """F."""
        return self.views.size

    @property
    def angle_size(self) -> int:
        """G."""
        return self.gazes.shape[1]

    # -- seeing -------------------------------------------------------------------------------------------------------

    def panorama(self, node: Tensor, view: Tensor, mask: Tensor | None = None) -> Tensor:
        """(..., 36, F + G); mask as in `observe`."""
        return self._panorama(self._pictures(node, mask), view)

    def candidate_features(self, node: Tensor, view: Tensor, mask: Tensor | None = None) -> Tensor:
        """(..., A, F + G); mask as in `observe`."""
        return self._candidates(self._pictures(node, mask), self._row(node, view))

    def observe(self, node: Tensor, view: Tensor, mask: Tensor | None = None) -> Sight:
        """The complete observation, reading the features once.

        mask: factors of the image features, (F,) for all views and agents or broadcast to (..., 36, F), for example
        environmental dropout (Tan et al. 2019), which uses one mask for a whole batch.
        """
        pictures, row = self._pictures(node, mask), self._row(node, view)
        return Sight(self._panorama(pictures, view), self._candidates(pictures, row), self.slot_valid[row])

    def gaze(self, view: Tensor) -> Tensor:
        """(..., G) the angle features of the absolute direction of `view`."""
        return self.gazes[view]

    def _panorama(self, pictures: Tensor, view: Tensor) -> Tensor:
        return torch.cat([pictures, self.view_angles[view % HEADINGS]], dim=-1)

    def _candidates(self, pictures: Tensor, row: Tensor) -> Tensor:
        column = self.slot_view[row].long()[..., None].expand(*row.shape, self.slots, pictures.shape[-1])
        known = self.slot_valid[row].clone()
        known[..., 0] = False  # STOP shows nothing
        shown = pictures.gather(-2, column) * known[..., None]
        repeats = self.angle_size // 4
        angles = self.slot_angles[row]
        angles = angles.repeat_interleave(repeats, -1) if self.layout == "block" else torch.cat([angles] * repeats, -1)
        return torch.cat([shown, angles], dim=-1)

    def _pictures(self, node: Tensor, mask: Tensor | None) -> Tensor:
        if self.features is not None:
            pictures = self.features[node].float()
        else:
            pictures = torch.from_numpy(self.views.gather(node.cpu().numpy())).to(node.device)
        return pictures if mask is None else pictures * mask

    # -- going --------------------------------------------------------------------------------------------------------

    def candidates(self, node: Tensor, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The nodes that slots lead to, the views that show them, and which slots are not padding; (..., A) each."""
        row = self._row(node, view)
        return self.slot_node[row].long(), self.slot_view[row].long(), self.slot_valid[row]

    def move(self, node: Tensor, view: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes and views after actions (slots). STOP and padding slots have no effect."""
        nodes, views, valid = (table.gather(-1, action[..., None])[..., 0] for table in self.candidates(node, view))
        return nodes, torch.where((action > 0) & valid, views, view)

    def slot_to(self, node: Tensor, view: Tensor, there: Tensor) -> Tensor:
        """The action that leads to a neighbour; STOP for the node itself and for nodes that are not neighbours."""
        leads = (self.slot_node[self._row(node, view)] == there[..., None]) & (there != node)[..., None]
        return leads.int().argmax(dim=-1)

    def expert(self, node: Tensor, view: Tensor, goal: Tensor) -> Tensor:
        """The action along the shortest path to the goal; STOP at the goal and if there is no path."""
        return self.slot_to(node, view, self.next_hop(node, goal))

    def next_hop(self, node: Tensor, goal: Tensor) -> Tensor:
        """The node after `node` on the shortest path; `node` at the goal and if there is no path."""
        return self.hops[self.pair_offset[node] + goal].long() + self.first[node]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Geodesic distance in metres (float64) between nodes of the same scan; inf if there is no path."""
        return self.distances[self.pair_offset[a] + b]

    def nearest(self, node: Tensor, goals: Tensor) -> tuple[Tensor, Tensor]:
        """Metres to the nearest of goals (..., G; -1 is no goal), inf if there is none, and that goal (...); the first
        goal, or the node itself, if there is no path."""
        here = node[..., None].expand(goals.shape)
        metres = self.distance(here, torch.where(goals >= 0, goals, here)).masked_fill(goals < 0, torch.inf)
        least, column = metres.min(dim=-1)
        goal = goals.gather(-1, column[..., None])[..., 0]
        return least, torch.where(goal >= 0, goal, node)

    def _row(self, node: Tensor, view: Tensor) -> Tensor:
        return node * HEADINGS + view % HEADINGS


def _resident(views: Views) -> Tensor | None:
    """The features in memory, one row per node; None if they are too large or not an array."""
    if not isinstance(views, ArrayViews) or views.features.nbytes > LARGEST:
        return None
    if views.rows is None and views.features.dtype in (np.float16, np.float32):
        return torch.from_numpy(np.ascontiguousarray(views.features))
    return torch.from_numpy(views.gather(np.arange(len(views.features if views.rows is None else views.rows))))
