"""The recurrent stacks over the operators of libhmrnn. Their parameters have the names of the checkpoint.

Shapes: T steps, B rows (sequences), L layers, layer l of d_l units. Everything is float32 or float64; the operators
raise an error for an argument that does not fit. Equations are those of Chung, Ahn and Bengio (2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .cell import HMLSTMCell, _window
from .checks import _check_choice, _check_finite, _check_probability, _check_size, _check_sizes
from .dropout import _drop_gate_weights, _mask, _seeds
from .state import HMLSTMOutput, HMLSTMState

__all__ = ["HMLSTM", "StackedLSTM"]

BOUNDARY_MODES = ("step", "bernoulli", "soft")


def _steps_and_rows(input: Tensor, index: Tensor | None) -> tuple[int, int]:
    """T and B of a window: of its inputs, or of the indices of its inputs."""
    if index is None and input.dim() != 3:
        raise ValueError(f"input must have shape [T, B, input_size], got {list(input.shape)}")
    if index is not None and index.dim() != 2:
        raise ValueError(f"index must have shape [T, B], got {list(index.shape)}")
    steps, rows = (input if index is None else index).shape[:2]
    return steps, rows


class _Recurrent(nn.Module):
    """The common part of HMLSTM and StackedLSTM."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        *,
        eps: float,
        recurrent_dropout: float,
        locked_dropout: float,
        weight_drop: float,
    ) -> None:
        super().__init__()
        self.input_size = _check_size("input_size", input_size)
        self.hidden_sizes = _check_sizes("hidden_sizes", hidden_sizes)
        self.eps = _check_finite("eps", eps, positive=True)
        self.recurrent_dropout = _check_probability("recurrent_dropout", recurrent_dropout)
        self.locked_dropout = _check_probability("locked_dropout", locked_dropout)
        self.weight_drop = _check_probability("weight_drop", weight_drop)
        self.product_dtype: torch.dtype | None = None
        """torch.bfloat16: operands of the gate products are rounded to it, sums are float32. None: the parameters'."""

    def _zeros(self, batch: int, boundaries: int) -> HMLSTMState:
        like = self.layers[0].bias
        h = [like.new_zeros(batch, d) for d in self.hidden_sizes]
        return HMLSTMState(h, [x.clone() for x in h], like.new_zeros(batch, boundaries))

    def _draw_locked_mask(self, batch: int) -> Tensor | None:
        if not (self.training and self.locked_dropout > 0):
            return None
        return _mask((batch, sum(self.hidden_sizes)), self.locked_dropout, self.layers[0].bias)

    def _recurrent_weights(self) -> list[Tensor]:
        weights = [cell.recurrent for cell in self.layers]
        if self.training and self.weight_drop > 0:
            weights = [_drop_gate_weights(u, self.weight_drop) for u in weights]
        return weights

    def extra_repr(self) -> str:
        return f"{self.input_size}, {list(self.hidden_sizes)}"


class HMLSTM(_Recurrent):
    """The stack of HM-LSTM layers over a window of steps. A layer COPYs, which costs nothing, unless the layer below
    ends a segment at this step or the layer itself ended one at the previous step.

        >>> model = hmrnn.HMLSTM(64, [128, 128, 128])
        >>> out = model(torch.randn(50, 8, 64))          # [T, B, input_size]
        >>> out.h[2].shape, out.z.shape
        (torch.Size([50, 8, 128]), torch.Size([50, 8, 2]))

    Args:
        input_size: features of the input.
        hidden_sizes: units of each layer, bottom to top.
        layer_norm, forget_bias, boundary_bias, init, norm_gain, eps: see :class:`HMLSTMCell`.
        boundary: ``step`` (z = 1 where z̃ > 0.5), ``bernoulli`` (z drawn with probability z̃) or ``soft`` (z = z̃).
        slope: a of hardσ(x) = clamp((a x + 1) / 2, 0, 1), see :meth:`set_slope`.
        recurrent_dropout: probability of dropping a unit of g at an UPDATE or FLUSH.
        locked_dropout: probability of dropping a unit of h, drawn once per window and row, where other layers and the
            output module read it.
        weight_drop: probability of dropping a weight of the gate rows of U for a whole window.

    Raises:
        ValueError: there is no layer, a size is below 1, a probability is outside [0, 1), ``eps`` or ``slope`` is not a
            finite number above 0, or another number is not finite.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        *,
        layer_norm: bool = True,
        boundary: str = "step",
        slope: float = 1.0,
        forget_bias: float = 0.0,
        boundary_bias: float = 0.0,
        init: str = "uniform",
        norm_gain: float = 1.0,
        eps: float = 1e-5,
        recurrent_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        weight_drop: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_sizes,
            eps=eps,
            recurrent_dropout=recurrent_dropout,
            locked_dropout=locked_dropout,
            weight_drop=weight_drop,
        )
        self.boundary = _check_choice("boundary", boundary, BOUNDARY_MODES)
        sizes = [self.input_size, *self.hidden_sizes]
        self.layers = nn.ModuleList(
            HMLSTMCell(
                sizes[l],
                sizes[l + 1],
                sizes[l + 2] if l + 2 < len(sizes) else 0,
                layer_norm=layer_norm,
                forget_bias=forget_bias,
                boundary_bias=boundary_bias,
                init=init,
                norm_gain=norm_gain,
                eps=eps,
            )
            for l in range(len(self.hidden_sizes))
        )
        self.register_buffer("_slope", torch.tensor(0.0), persistent=False)  # checkpoints keep it in their metadata
        self.set_slope(slope)

    @property
    def slope(self) -> float:
        """The current slope a of hardσ."""
        return self._slope.item()

    def set_slope(self, slope: float) -> None:
        """Sets the slope a, a finite number above 0 (slope annealing: it grows with the epochs)."""
        self._slope.fill_(_check_finite("slope", slope, positive=True))

    def initial_state(self, batch: int) -> HMLSTMState:
        """All zeros, in the parameters' dtype and on their device."""
        return self._zeros(batch, len(self.hidden_sizes) - 1)

    def forward(
        self,
        input: Tensor,
        state: HMLSTMState | None = None,
        *,
        boundaries: Tensor | None = None,
        boundary_gradient: bool = False,
        noise: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> HMLSTMOutput:
        """The window ``input`` [T, B, input_size] from ``state`` (None: zeros).

        Args:
            boundaries: [T, B, L-1] in the parameters' dtype, 0 or 1 (else an error, on CUDA a device-side
                assertion): z to use instead of the detectors'.
            boundary_gradient: with ``boundaries``: straight-through gradients to the detectors.
            noise: [T, B, L-1] uniform in [0, 1), for Bernoulli boundaries; None: drawn here.
            lengths: int64 [B]; steps past a row's end change nothing in it.
        """
        return self._run(input, None, state, boundaries, boundary_gradient, noise, lengths)

    def forward_indexed(
        self,
        table: Tensor,
        index: Tensor,
        state: HMLSTMState | None = None,
        *,
        boundaries: Tensor | None = None,
        boundary_gradient: bool = False,
        noise: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> HMLSTMOutput:
        """The same for inputs that are rows ``index`` (int64 [T, B]) of ``table`` [V, input_size], an embedding: W x of
        the first layer is then computed once for each row of the table."""
        if table.shape[0] > index.numel():  # W x of the table would take more products than W x of the window's inputs
            return self._run(nn.functional.embedding(index, table), None, state, boundaries, boundary_gradient, noise, lengths)
        return self._run(table, index, state, boundaries, boundary_gradient, noise, lengths)

    def _run(
        self,
        input: Tensor,
        index: Tensor | None,
        state: HMLSTMState | None,
        boundaries: Tensor | None,
        boundary_gradient: bool,
        noise: Tensor | None,
        lengths: Tensor | None,
    ) -> HMLSTMOutput:
        steps, batch = _steps_and_rows(input, index)
        state = state or self.initial_state(batch)
        if self.boundary == "bernoulli" and boundaries is None and noise is None:
            noise = torch.rand(steps, batch, len(self.hidden_sizes) - 1, dtype=state.z.dtype, device=state.z.device)
        dropout = self.training and self.recurrent_dropout > 0
        seed = _seeds(1, state.z.device)[0] if dropout else None
        recurrent = self._recurrent_weights()
        mask = self._draw_locked_mask(batch)
        h, c_n, z, state_index = _window(
            list(self.layers),
            input,
            index,
            state,
            self._slope.to(state.z.dtype),
            recurrent=recurrent,
            boundaries=boundaries,
            noise=noise if self.boundary == "bernoulli" and boundaries is None else None,
            lengths=lengths,
            soft=self.boundary == "soft" and boundaries is None,
            boundary_gradient=boundary_gradient,
            product_dtype=self.product_dtype,
            eps=self.eps,
            recurrent_dropout=self.recurrent_dropout if dropout else 0.0,
            dropout_seed=seed,
            locked_mask=mask,
        )
        last = HMLSTMState([x[-1].clone() for x in h], list(c_n), z[-1].clone())
        return HMLSTMOutput(list(h), z, state_index, last, mask)


class StackedLSTM(_Recurrent):
    """The control of experiments: a plain stack of LSTM layers with the same sizes, layer norms and regularisers, on
    the same kernels. Its output is as of :class:`HMLSTM`, with z [T, B, 0]. Arguments: see there."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        *,
        layer_norm: bool = True,
        forget_bias: float = 0.0,
        init: str = "uniform",
        norm_gain: float = 1.0,
        eps: float = 1e-5,
        recurrent_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        weight_drop: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_sizes,
            eps=eps,
            recurrent_dropout=recurrent_dropout,
            locked_dropout=locked_dropout,
            weight_drop=weight_drop,
        )
        sizes = [self.input_size, *self.hidden_sizes]
        self.layers = nn.ModuleList(
            HMLSTMCell(
                sizes[l],
                sizes[l + 1],
                layer_norm=layer_norm,
                forget_bias=forget_bias,
                init=init,
                norm_gain=norm_gain,
                eps=eps,
            )
            for l in range(len(self.hidden_sizes))
        )

    def initial_state(self, batch: int) -> HMLSTMState:
        """All zeros, in the parameters' dtype and on their device."""
        return self._zeros(batch, 0)

    def forward(
        self, input: Tensor, state: HMLSTMState | None = None, *, lengths: Tensor | None = None
    ) -> HMLSTMOutput:
        """The window ``input`` [T, B, input_size] from ``state`` (None: zeros); ``lengths`` as in HMLSTM."""
        return self._run(input, None, state, lengths)

    def forward_indexed(
        self, table: Tensor, index: Tensor, state: HMLSTMState | None = None, *, lengths: Tensor | None = None
    ) -> HMLSTMOutput:
        """See :meth:`HMLSTM.forward_indexed`."""
        if table.shape[0] > index.numel():
            return self._run(nn.functional.embedding(index, table), None, state, lengths)
        return self._run(table, index, state, lengths)

    def _run(
        self, input: Tensor, index: Tensor | None, state: HMLSTMState | None, lengths: Tensor | None
    ) -> HMLSTMOutput:
        _, batch = _steps_and_rows(input, index)
        state = state or self.initial_state(batch)
        # Each layer is a call of its own, which sees the state of one layer.
        if not len(state.h) == len(state.c) == len(self.layers):
            raise ValueError(
                f"state must have {len(self.layers)} layers, got {len(state.h)} of h and {len(state.c)} of c"
            )
        mask = self._draw_locked_mask(batch)
        masks = mask.split(list(self.hidden_sizes), dim=1) if mask is not None else None
        dropout = self.training and self.recurrent_dropout > 0
        seeds = _seeds(len(self.layers), state.z.device) if dropout else None
        h, c, indices = [], [], []
        for l, cell in enumerate(self.layers):
            u = cell.recurrent
            if self.training and self.weight_drop > 0:
                u = _drop_gate_weights(u, self.weight_drop)
            (h_l,), (c_l,), _, state_index = _window(
                [cell],
                input,
                index,
                HMLSTMState([state.h[l]], [state.c[l]], state.z),
                torch.ones((), dtype=state.z.dtype, device=state.z.device),
                recurrent=[u],
                lengths=lengths,
                boundary_gradient=True,
                product_dtype=self.product_dtype,
                eps=self.eps,
                recurrent_dropout=self.recurrent_dropout if dropout else 0.0,
                dropout_seed=seeds[l] if seeds is not None else None,
            )
            h.append(h_l)
            c.append(c_l)
            indices.append(state_index)
            input = h_l if masks is None else h_l * masks[l]
            index = None
        steps = h[0].shape[0]
        z = state.z.new_zeros(steps, batch, 0)
        last = HMLSTMState([x[-1].clone() for x in h], c, state.z)
        return HMLSTMOutput(h, z, torch.cat(indices), last, mask)
