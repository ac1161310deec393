"""The common part of the programs' models: a core, which is an HM-LSTM or the control, an LSTM of the same sizes, and
the gated output module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .cell import INITIALISATIONS
from .checks import _check_choice, _check_finite, _check_probability, _check_size, _check_sizes
from .nn import BOUNDARY_MODES, HMLSTM, StackedLSTM
from .output_module import OutputModule
from .state import HMLSTMState

CORES = ("hm_lstm", "lstm")


class _RecurrentModel(nn.Module):
    """A core and the gated output module. Parameter names: ``hm_lstm.layers.{l}.…`` (or ``lstm.layers.{l}.…``),
    ``output.…``."""

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_embedding_size: int,
        classes: int,
        *,
        core: str,
        layer_norm: bool,
        boundary: str,
        slope: float,
        forget_bias: float,
        boundary_bias: float,
        init: str,
        norm_gain: float,
        dropout: float,
        recurrent_dropout: float,
        locked_dropout: float,
        weight_drop: float,
    ) -> None:
        super().__init__()
        # All of them also for the control, which does not use each: a checkpoint holds them, and the programs check
        # them.
        self.config: dict[str, Any] = {
            "core": _check_choice("core", core, CORES),
            "hidden_sizes": list(_check_sizes("hidden_sizes", hidden_sizes)),
            "output_embedding_size": _check_size("output_embedding_size", output_embedding_size),
            "layer_norm": bool(layer_norm),
            "boundary": _check_choice("boundary", boundary, BOUNDARY_MODES),
            "slope": _check_finite("slope", slope, positive=True),
            "forget_bias": _check_finite("forget_bias", forget_bias),
            "boundary_bias": _check_finite("boundary_bias", boundary_bias),
            "init": _check_choice("init", init, INITIALISATIONS),
            "norm_gain": _check_finite("norm_gain", norm_gain),
            "dropout": _check_probability("dropout", dropout),
            "recurrent_dropout": _check_probability("recurrent_dropout", recurrent_dropout),
            "locked_dropout": _check_probability("locked_dropout", locked_dropout),
            "weight_drop": _check_probability("weight_drop", weight_drop),
        }
        """The model's options, under the names of a checkpoint's metadata."""
        options = dict(self.config)
        del options["core"], options["output_embedding_size"], options["dropout"]
        if core == "lstm":
            del options["boundary"], options["slope"], options["boundary_bias"]
            self.lstm = StackedLSTM(input_size, **options)
        else:
            self.hm_lstm = HMLSTM(input_size, **options)
        self.output = OutputModule(options["hidden_sizes"], self.config["output_embedding_size"], classes)
        self.dropout = nn.Dropout(self.config["dropout"])
        self.step = 0
        """Number of training steps of the loaded checkpoint."""
        self.corpus: dict[str, Any] = {}
        """The training data, as the loaded checkpoint's metadata describe them."""

    @property
    def core(self) -> HMLSTM | StackedLSTM:
        """The recurrent part."""
        return self.hm_lstm if self.config["core"] == "hm_lstm" else self.lstm

    @property
    def slope(self) -> float:
        """The slope of the detectors (1 for the control, which has none)."""
        return self.hm_lstm.slope if self.config["core"] == "hm_lstm" else 1.0

    def set_slope(self, slope: float) -> None:
        """See :meth:`hmrnn.HMLSTM.set_slope`; no effect on the control."""
        if self.config["core"] == "hm_lstm":
            self.hm_lstm.set_slope(slope)

    def set_product_dtype(self, dtype: torch.dtype | None) -> None:
        """torch.bfloat16: operands of the products of the recurrent layers and of the output module are rounded."""
        self.core.product_dtype = dtype
        self.output.product_dtype = dtype

    def initial_state(self, batch: int) -> HMLSTMState:
        """The core's state, all zeros."""
        return self.core.initial_state(batch)
