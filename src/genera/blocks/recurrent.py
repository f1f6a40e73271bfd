"""Recurrent layers of navigation agents and their speakers: both directions of a padded sequence, and attention."""

import torch
from torch import Tensor, nn


class BiLstm(nn.Module):
    """An LSTM in each direction. Padding, which must come last in a row, touches no state: a row's states do not depend
    on the rows beside it, and no lengths travel to the host as packed sequences need."""

    def __init__(self, inputs: int, hidden: int) -> None:
        """hidden: of both directions together."""
        super().__init__()
        self.forwards = nn.LSTM(inputs, hidden // 2, batch_first=True)
        self.backwards = nn.LSTM(inputs, hidden // 2, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, T, I). mask: (B, T) bool, True where there is something. Returns (B, T, H), zeros at padding."""
        order = reversing(mask)[..., None]
        ahead, _ = self.forwards(x)
        back, _ = self.backwards(x.gather(1, order.expand_as(x)))
        return torch.cat([ahead, back.gather(1, order.expand_as(back))], dim=-1) * mask[..., None]


def reversing(mask: Tensor) -> Tensor:
    """(B, T) positions that turn what a mask (B, T) keeps of each row around, and leave its padding where it is."""
    place = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)


class SoftDotAttention(nn.Module):
    """Luong et al. 2015's "general" attention, as the agents of R2R have it: h~ = tanh(W_out [context; h])."""

    def __init__(self, query: int, context: int) -> None:
        """Sizes of h, and of what is attended to."""
        super().__init__()
        self.to_context = nn.Linear(query, context, bias=False)
        self.output = nn.Linear(context + query, query, bias=False)

    def forward(self, h: Tensor, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """h: (B, Q, H). context: (B, T, C). mask: (B, T) bool, True where one may look.

        Returns h~ (B, Q, H) and the weights (B, Q, T).
        """
        scores = self.to_context(h) @ context.mT
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -torch.inf)
        weights = scores.softmax(-1)
        return self.output(torch.cat([weights @ context, h], dim=-1)).tanh(), weights
