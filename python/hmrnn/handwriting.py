"""The model of the program ``handwriting``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .checks import _check_size
from .recurrent_model import _RecurrentModel
from .state import HMLSTMOutput, HMLSTMState

MAX_LOG_DEVIATION = 7.0
"""Bound of log σ of the mixture's Gaussians: within ± this."""
MAX_CORRELATION = 0.995


class Mixture(NamedTuple):
    """A mixture of M bivariate Gaussians for the standardised x and y, and a Bernoulli variable for the pen."""

    log_weight: Tensor
    """[…, M]"""
    mean_x: Tensor
    mean_y: Tensor
    log_deviation_x: Tensor
    log_deviation_y: Tensor
    correlation: Tensor
    pen_logit: Tensor
    """[…]: log-odds of the pen being lifted after the point"""

    @staticmethod
    def read(raw: Tensor) -> Mixture:
        """The mixture of a model's raw output [..., 6M + 1].

        Raises:
            ValueError: the last dimension is another one.
        """
        if raw.dim() < 1 or raw.shape[-1] % 6 != 1 or raw.shape[-1] < 7:
            raise ValueError(f"the last dimension of raw must be 6M + 1, got {list(raw.shape)}")
        m = raw.shape[-1] // 6
        weight, mean_x, mean_y, deviation_x, deviation_y, correlation, pen = raw.split([m] * 6 + [1], dim=-1)

        def bounded(x: Tensor) -> Tensor:
            return MAX_LOG_DEVIATION * torch.tanh(x / MAX_LOG_DEVIATION)

        return Mixture(
            weight.log_softmax(-1),
            mean_x,
            mean_y,
            bounded(deviation_x),
            bounded(deviation_y),
            torch.tanh(correlation) * MAX_CORRELATION,
            pen[..., 0],
        )

    def log_density(self, target: Tensor) -> Tensor:
        """[…]: log density in nats of points ``target`` [..., 3] = (x, y, pen).

        Raises:
            ValueError: ``target`` has another shape.
        """
        if target.shape != (*self.pen_logit.shape, 3):  # broadcast, points would meet the mixtures of other steps
            raise ValueError(f"target must have shape {[*self.pen_logit.shape, 3]}, got {list(target.shape)}")
        x = (target[..., :1] - self.mean_x) * torch.exp(-self.log_deviation_x)
        y = (target[..., 1:2] - self.mean_y) * torch.exp(-self.log_deviation_y)
        rho = self.correlation
        rest = (1 - rho) * (1 + rho)
        normal = (
            -math.log(2 * math.pi)
            - self.log_deviation_x
            - self.log_deviation_y
            - 0.5 * (rest.log() + (x * x + y * y - 2 * rho * x * y) / rest)
        )
        pen = target[..., 2] * self.pen_logit - nn.functional.softplus(self.pen_logit)
        return torch.logsumexp(self.log_weight + normal, -1) + pen


class HandwritingOutput(NamedTuple):
    """What :meth:`HandwritingModel.forward` returns."""

    raw: Tensor
    """[T, B, 6M + 1], see :meth:`Mixture.read`"""
    core: HMLSTMOutput

    @property
    def mixture(self) -> Mixture:
        """At each step the distribution of the next point."""
        return Mixture.read(self.raw)


class _MixtureDensity(nn.Module):
    def __init__(self, input_size: int, mixtures: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 6 * mixtures + 1)

    def forward(self, input: Tensor) -> Tensor:
        return self.linear(input)


class HandwritingModel(_RecurrentModel):
    """Model of pen points (x, y, pen): HM-LSTM (or LSTM) → output module → mixture density. The defaults are the
    paper's for IAM-OnDB.

    Args:
        mixtures: M, Gaussians of the mixture.
        others: see :class:`CharLM`.

    Raises:
        ValueError: an argument is out of its range, as in :class:`HMLSTM`.
    """

    def __init__(
        self,
        *,
        hidden_sizes: Sequence[int] = (400, 400, 400),
        output_embedding_size: int = 400,
        mixtures: int = 20,
        core: str = "hm_lstm",
        layer_norm: bool = False,
        boundary: str = "step",
        slope: float = 1.0,
        forget_bias: float = 0.0,
        boundary_bias: float = 0.0,
        init: str = "uniform",
        norm_gain: float = 1.0,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        weight_drop: float = 0.0,
    ) -> None:
        mixtures = _check_size("mixtures", mixtures)
        super().__init__(
            3,
            hidden_sizes,
            output_embedding_size,
            0,
            core=core,
            layer_norm=layer_norm,
            boundary=boundary,
            slope=slope,
            forget_bias=forget_bias,
            boundary_bias=boundary_bias,
            init=init,
            norm_gain=norm_gain,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            locked_dropout=locked_dropout,
            weight_drop=weight_drop,
        )
        self.config["mixtures"] = mixtures
        self.mixture = _MixtureDensity(self.config["output_embedding_size"], mixtures)
        self.normalisation: dict[str, Any] = {"coordinates": "offsets", "mean": [0.0, 0.0], "deviation": [1.0, 1.0]}
        """How the points were standardised: coordinates (``offsets`` or ``absolute``), mean and deviation of x and y."""

    def forward(self, input: Tensor, state: HMLSTMState | None = None, **call: Any) -> HandwritingOutput:
        """``input`` [T, B, 3], standardised points, from ``state`` (None: zeros); ``call``: keyword arguments of
        :meth:`HMLSTM.forward`."""
        core = self.core(input, state, **call)
        return HandwritingOutput(self.mixture(self.dropout(self.output(core.shown(), core.state_index))), core)
