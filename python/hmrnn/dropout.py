"""Random tensors of the regularisers: masks and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def _mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device).bernoulli_(1 - p).div_(1 - p)


def _seeds(count: int, device: torch.device) -> Tensor:
    return torch.randint(torch.iinfo(torch.int64).max, (count,), device=device)


def _drop_gate_weights(recurrent: Tensor, p: float) -> Tensor:
    """U with weights of its gate rows dropped; the boundary row (the last one; none at the top) is unchanged."""
    rows, gates = recurrent.shape[0], 4 * recurrent.shape[1]
    mask = _mask((gates, recurrent.shape[1]), p, recurrent)
    if rows > gates:
        mask = torch.cat([mask, torch.ones_like(recurrent[gates:])])
    return recurrent * mask
