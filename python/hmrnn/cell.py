"""The parameters of a layer, and the call of the operator with the parameters of a stack of layers.

Shapes: T steps, B rows (sequences), L layers, layer l of d_l units. Equations are those of Chung, Ahn and Bengio (2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import _check_choice, _check_finite, _check_size
from .state import HMLSTMState

INITIALISATIONS = ("uniform", "orthogonal")


class HMLSTMCell(nn.Module):
    """The parameters of one layer: U ``recurrent`` [R, d], W ``bottom_up`` [R, input_size], V ``top_down``
    [R, above_size] (none at the top), b ``bias`` [R], with R = 4d + 1, or 4d at the top, and the layer norms of U h,
    W h, V h (4d gate rows each) and of c (equations 1 to 7).

    Args:
        input_size: features of the layer below.
        hidden_size: units d.
        above_size: units of the layer above; 0 at the top, which has no boundary.
        layer_norm: with layer normalisation.
        forget_bias, boundary_bias: initial biases of the forget gates and of the detector.
        init: ``uniform`` (±1/√d) or ``orthogonal`` (square gate blocks orthogonal, the rest Glorot).
        norm_gain: initial gain of the norms of U h, V h and W h.
        eps: added to the variance in layer norm, above 0.

    Raises:
        ValueError: a size is below 1 (``above_size``: below 0), or a number is not finite.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        above_size: int = 0,
        *,
        layer_norm: bool = True,
        forget_bias: float = 0.0,
        boundary_bias: float = 0.0,
        init: str = "uniform",
        norm_gain: float = 1.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        input_size = _check_size("input_size", input_size)
        self.hidden_size = hidden_size = _check_size("hidden_size", hidden_size)
        above_size = _check_size("above_size", above_size, least=0)
        self.forget_bias = _check_finite("forget_bias", forget_bias)
        self.boundary_bias = _check_finite("boundary_bias", boundary_bias)
        self.init = _check_choice("init", init, INITIALISATIONS)
        self.norm_gain = _check_finite("norm_gain", norm_gain)
        eps = _check_finite("eps", eps, positive=True)
        rows = 4 * hidden_size + (1 if above_size else 0)
        self.recurrent = nn.Parameter(torch.empty(rows, hidden_size))
        self.bottom_up = nn.Parameter(torch.empty(rows, input_size))
        if above_size:
            self.top_down = nn.Parameter(torch.empty(rows, above_size))
        else:
            self.register_parameter("top_down", None)
        self.bias = nn.Parameter(torch.empty(rows))
        if layer_norm:
            self.recurrent_norm = nn.LayerNorm(4 * hidden_size, eps=eps)
            self.bottom_up_norm = nn.LayerNorm(4 * hidden_size, eps=eps)
            if above_size:
                self.top_down_norm = nn.LayerNorm(4 * hidden_size, eps=eps)
            self.cell_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """U, V, W according to ``init``, gains ``norm_gain`` (that of c: 1), biases 0 except ``forget_bias`` and
        ``boundary_bias``."""
        d = self.hidden_size
        bound = 1 / math.sqrt(d)
        for matrix in (self.recurrent, self.bottom_up, self.top_down):
            if matrix is None:
                continue
            if self.init == "uniform":
                matrix.uniform_(-bound, bound)
            else:
                self._init_orthogonal(matrix)
        self.bias.zero_()
        self.bias[:d] = self.forget_bias
        if self.top_down is not None:
            self.bias[4 * d] = self.boundary_bias
        for norm in self.norms():
            norm.weight.fill_(1.0 if norm is self.cell_norm else self.norm_gain)
            norm.bias.zero_()

    def _init_orthogonal(self, matrix: Tensor) -> None:
        d, inputs = self.hidden_size, matrix.shape[1]

        def glorot(rows: Tensor, outputs: int) -> None:
            bound = math.sqrt(6 / (inputs + outputs))
            rows.uniform_(-bound, bound)

        if inputs == d:
            block = torch.empty(d, d, dtype=matrix.dtype, device=matrix.device)
            nn.init.orthogonal_(block)
            matrix[: 4 * d] = block.repeat(4, 1)
        else:
            glorot(matrix[: 4 * d], d)
        if matrix.shape[0] > 4 * d:
            glorot(matrix[4 * d :], 1)

    def norms(self) -> list[nn.LayerNorm]:
        """In the operator's order: of U h, W h, V h (not at the top), c; empty without layer norm."""
        names = ("recurrent_norm", "bottom_up_norm", "top_down_norm", "cell_norm")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def extra_repr(self) -> str:
        above = 0 if self.top_down is None else self.top_down.shape[1]
        return f"{self.bottom_up.shape[1]}, {self.hidden_size}, above_size={above}"


def _window(
    cells: Sequence[HMLSTMCell],
    input: Tensor,
    index: Tensor | None,
    state: HMLSTMState,
    slope: Tensor,
    *,
    recurrent: Sequence[Tensor] | None = None,
    boundaries: Tensor | None = None,
    noise: Tensor | None = None,
    lengths: Tensor | None = None,
    soft: bool = False,
    boundary_gradient: bool = False,
    product_dtype: torch.dtype | None = None,
    eps: float = 1e-5,
    recurrent_dropout: float = 0.0,
    dropout_seed: Tensor | None = None,
    locked_mask: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """One call of the operator ``hmrnn::hm_lstm`` with the parameters of ``cells``: h, c_n, z, state_index."""
    norms = [norm for cell in cells for norm in cell.norms()]
    return torch.ops.hmrnn.hm_lstm(
        input,
        index,
        state.h,
        state.c,
        state.z,
        list(recurrent) if recurrent is not None else [cell.recurrent for cell in cells],
        [cell.bottom_up for cell in cells],
        [cell.top_down for cell in cells[:-1]],
        [cell.bias for cell in cells],
        [norm.weight for norm in norms],
        [norm.bias for norm in norms],
        slope,
        boundaries,
        noise,
        lengths,
        soft,
        boundary_gradient,
        product_dtype,
        eps,
        recurrent_dropout,
        dropout_seed,
        locked_mask,
    )
