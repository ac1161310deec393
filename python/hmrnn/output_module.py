"""The gated output embedding of all layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import _check_size, _check_sizes

class _OutputEmbedding(nn.Module):
    def __init__(self, hidden_sizes: Sequence[int], size: int) -> None:
        super().__init__()
        for l, d in enumerate(hidden_sizes):
            self.register_parameter(str(l), nn.Parameter(torch.empty(size, d)))

    def weights(self) -> list[Tensor]:
        return list(self._parameters.values())


class OutputModule(nn.Module):
    """The gated output embedding of all layers, h^e = ReLU(Σ_l σ(w^l · [h^1; …; h^L]) W^e_l h^l), and a softmax's
    linear layer.

    Args:
        hidden_sizes: units of each layer.
        embedding_size: size of h^e.
        classes: of the softmax; 0: no such layer.

    Raises:
        ValueError: there is no layer, a size is below 1, or ``classes`` is negative.
    """

    def __init__(self, hidden_sizes: Sequence[int], embedding_size: int, classes: int = 0) -> None:
        super().__init__()
        hidden_sizes = _check_sizes("hidden_sizes", hidden_sizes)
        embedding_size = _check_size("embedding_size", embedding_size)
        classes = _check_size("classes", classes, least=0)
        self.gates = nn.Parameter(torch.empty(len(hidden_sizes), sum(hidden_sizes)))
        self.embedding = _OutputEmbedding(hidden_sizes, embedding_size)
        if classes:
            self.softmax = nn.Linear(embedding_size, classes)
        self.product_dtype: torch.dtype | None = None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """All uniform(±1/√Σ d_l), the softmax uniform(±1/√embedding_size)."""
        bound = 1 / math.sqrt(self.gates.shape[1])
        for parameter in (self.gates, *self.embedding.weights()):
            parameter.uniform_(-bound, bound)
        if hasattr(self, "softmax"):
            self.softmax.reset_parameters()

    def forward(self, h: Sequence[Tensor], state_index: Tensor | None = None) -> Tensor:
        """``h`` per layer [T, B, d_l] → h^e [T, B, embedding_size]. With the ``state_index`` of a core, the products of
        a layer are computed once for each of its states."""
        return torch.ops.hmrnn.gated_output(
            list(h), state_index, self.gates, self.embedding.weights(), self.product_dtype
        )
