"""State and output of a window.

Shapes: T steps, B rows (sequences), L layers, layer l of d_l units. Equations are those of Chung, Ahn and Bengio (2016).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class HMLSTMState(NamedTuple):
    """The state that is carried from one window to the next."""

    h: list[Tensor]
    """per layer [B, d_l]"""
    c: list[Tensor]
    """per layer [B, d_l]"""
    z: Tensor
    """[B, L-1]: the last step's boundaries"""

    def detach(self) -> HMLSTMState:
        """The same values outside the graph (truncated back-propagation)."""
        return HMLSTMState([x.detach() for x in self.h], [x.detach() for x in self.c], self.z.detach())


class HMLSTMOutput(NamedTuple):
    """What :meth:`HMLSTM.forward` returns."""

    h: list[Tensor]
    """per layer [T, B, d_l]"""
    z: Tensor
    """[T, B, L-1]: the boundaries of every layer but the top"""
    state_index: Tensor
    """int32 [L, T, B]: number of the row's state after each step; it changes where the layer does not COPY"""
    state: HMLSTMState
    """after the last step"""
    locked_mask: Tensor | None
    """[B, Σ d_l]: 0, or 1/(1-p); None without locked dropout, and in evaluation"""

    def shown(self) -> list[Tensor]:
        """h as input of an output module: multiplied by the locked mask, if there is one."""
        if self.locked_mask is None:
            return self.h
        masks = self.locked_mask.split([x.shape[2] for x in self.h], dim=1)
        return [x * mask for x, mask in zip(self.h, masks)]
