"""Recurrent layers of navigation agents and speakers: a bidirectional LSTM over padded sequences, and attention."""

import torch
from torch import Tensor, nn


class BiLstm(nn.Module):
    """An LSTM in each direction. Padding must be on the right and does not affect the states, so rows are independent.
    Unlike packed sequences, this needs no lengths on the host."""

    def __init__(self, inputs: int, hidden: int) -> None:
        """hidden: size of both directions together."""
        super().__init__()
        self.forwards = nn.LSTM(inputs, hidden // 2, batch_first=True)
        self.backwards = nn.LSTM(inputs, hidden // 2, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, T, I). mask: (B, T) bool, False at padding. Returns (B, T, H), zeros at padding."""
        order = reversing(mask)[..., None]
        ahead, _ = self.forwards(x)
        back, _ = self.backwards(x.gather(1, order.expand_as(x)))
        return torch.cat([ahead, back.gather(1, order.expand_as(back))], dim=-1) * mask[..., None]


def reversing(mask: Tensor) -> Tensor:
    """(B, T) positions that reverse the unmasked prefix of each row and leave the padding in place."""
    place = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)


class SoftDotAttention(nn.Module):
    """The "general" attention of Luong et al. 2015, as used by R2R agents: h~ = tanh(W_out [context; h])."""

    def __init__(self, query: int, context: int) -> None:
        """Sizes of h and of the context."""
        super().__init__()
        self.to_context = nn.Linear(query, context, bias=False)
        self.output = nn.Linear(context + query, query, bias=False)

    def forward(self, h: Tensor, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """h: (B, Q, H). context: (B, T, C). mask: (B, T) bool, True where h may attend.

        Returns h~ (B, Q, H) and the weights (B, Q, T).
        """
        scores = self.to_context(h) @ context.mT
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -torch.inf)
        weights = scores.softmax(-1)
        return self.output(torch.cat([weights @ context, h], dim=-1)).tanh(), weights
