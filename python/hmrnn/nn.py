"""Modules over the operators of libhmrnn. Their parameters have the names of the checkpoint.

Shapes: T steps, B rows (sequences), L layers, layer l of d_l units. Everything is float32 or float64; the operators
name what does not fit. Equations are those of Chung, Ahn and Bengio (2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = [
    "HMLSTM",
    "HMLSTMCell",
    "HMLSTMOutput",
    "HMLSTMState",
    "OutputModule",
    "StackedLSTM",
]

BOUNDARY_MODES = ("step", "bernoulli", "soft")
INITIALISATIONS = ("uniform", "orthogonal")


class HMLSTMState(NamedTuple):
    """What is carried from one window to the next."""

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
    """int32 [L, T, B]: which state of its row each step shows; it changes where the layer does not COPY"""
    state: HMLSTMState
    """after the last step"""
    locked_mask: Tensor | None
    """[B, Σ d_l]: 0, or 1/(1-p); None without locked dropout, and in evaluation"""

    def shown(self) -> list[Tensor]:
        """h as an output module reads it: under the locked mask, if there is one."""
        if self.locked_mask is None:
            return self.h
        masks = self.locked_mask.split([x.shape[2] for x in self.h], dim=1)
        return [x * mask for x, mask in zip(self.h, masks)]


def _check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def _check_probability(name: str, p: float) -> float:
    if not 0 <= p < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {p}")
    return p


def _mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device).bernoulli_(1 - p).div_(1 - p)


def _seeds(count: int, device: torch.device) -> Tensor:
    return torch.randint(torch.iinfo(torch.int64).max, (count,), device=device)


def _drop_gate_weights(recurrent: Tensor, p: float) -> Tensor:
    """U with weights of its gate rows dropped; the boundary row, the last of all but the top's, is left alone."""
    rows, gates = recurrent.shape[0], 4 * recurrent.shape[1]
    mask = _mask((gates, recurrent.shape[1]), p, recurrent)
    if rows > gates:
        mask = torch.cat([mask, torch.ones_like(recurrent[gates:])])
    return recurrent * mask


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
        eps: added to the variance in layer norm.
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
        self.hidden_size = hidden_size
        self.forget_bias, self.boundary_bias = forget_bias, boundary_bias
        self.init = _check_choice("init", init, INITIALISATIONS)
        self.norm_gain = norm_gain
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
        """U, V, W as ``init`` says, gains ``norm_gain`` (that of c: 1), biases 0 but for the two that have a value."""
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


class _Recurrent(nn.Module):
    """What HMLSTM and the control are alike in."""

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
        if not hidden_sizes:
            raise ValueError("hidden_sizes must name at least one layer")
        self.input_size, self.hidden_sizes, self.eps = input_size, tuple(hidden_sizes), eps
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
    """The stack of HM-LSTM layers over a window of steps. A layer whose layer below found no boundary COPYs, and costs
    nothing.

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
        locked_dropout: probability of dropping a unit for a whole window and row from what other layers, and the output
            module, read.
        weight_drop: probability of dropping a weight of the gate rows of U for a whole window.
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
        sizes = [input_size, *hidden_sizes]
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
            for l in range(len(hidden_sizes))
        )
        self.register_buffer("_slope", torch.tensor(0.0), persistent=False)  # checkpoints keep it in their metadata
        self.set_slope(slope)

    @property
    def slope(self) -> float:
        """The slope a of hardσ in force."""
        return self._slope.item()

    def set_slope(self, slope: float) -> None:
        """Sets the slope a, a finite number above 0 (slope annealing: it grows with the epochs)."""
        if not (math.isfinite(slope) and slope > 0):
            raise ValueError(f"slope must be a finite number above 0, got {slope}")
        self._slope.fill_(slope)

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
            boundaries: [T, B, L-1], z to use instead of the detectors'.
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
        if table.shape[0] > index.numel():  # more products than the window's own inputs
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
        steps, batch = (input if index is None else index).shape[:2]
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
    """The control: a plain stack of LSTM layers with the same sizes, layer norms and regularisers, on the same kernels.
    Its outputs are those of :class:`HMLSTM` with z of no columns. Arguments: see there."""

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
        sizes = [input_size, *hidden_sizes]
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
            for l in range(len(hidden_sizes))
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
        batch = (input if index is None else index).shape[1]
        state = state or self.initial_state(batch)
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


class _OutputEmbedding(nn.Module):
    def __init__(self, hidden_sizes: Sequence[int], size: int) -> None:
        super().__init__()
        for l, d in enumerate(hidden_sizes):
            self.register_parameter(str(l), nn.Parameter(torch.empty(size, d)))

    def weights(self) -> list[Tensor]:
        return list(self._parameters.values())


class OutputModule(nn.Module):
    """The gated output embedding of all layers, h^e = ReLU(Σ_l σ(w^l · [h^1; …; h^L]) W^e_l h^l), and a softmax's
    linear layer (equations 11 to 13).

    Args:
        hidden_sizes: units of each layer.
        embedding_size: size of h^e.
        classes: of the softmax; 0: no such layer.
    """

    def __init__(self, hidden_sizes: Sequence[int], embedding_size: int, classes: int = 0) -> None:
        super().__init__()
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
        a layer are made once for each of its states."""
        return torch.ops.hmrnn.gated_output(
            list(h), state_index, self.gates, self.embedding.weights(), self.product_dtype
        )
