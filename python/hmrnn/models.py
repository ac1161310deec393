"""The models of the programs ``char_lm`` and ``handwriting``: an HM-LSTM, or the LSTM of the same sizes as the control,
under the gated output module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .nn import HMLSTM, HMLSTMOutput, HMLSTMState, OutputModule, StackedLSTM, _check_choice, _check_probability

__all__ = ["CharLM", "CharLMOutput", "HandwritingModel", "HandwritingOutput", "Mixture", "Vocabulary"]

CORES = ("hm_lstm", "lstm")
MAX_LOG_DEVIATION = 7.0
"""Of a Gaussian of the mixture: log σ lies within ± this."""
MAX_CORRELATION = 0.995


class _RecurrentModel(nn.Module):
    """A core under the gated output module. Parameter names: ``hm_lstm.layers.{l}.…`` (or ``lstm.layers.{l}.…``),
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
        self.config: dict[str, Any] = {
            "core": _check_choice("core", core, CORES),
            "hidden_sizes": list(hidden_sizes),
            "output_embedding_size": output_embedding_size,
            "layer_norm": layer_norm,
            "boundary": boundary,
            "slope": slope,
            "forget_bias": forget_bias,
            "boundary_bias": boundary_bias,
            "init": init,
            "norm_gain": norm_gain,
            "dropout": _check_probability("dropout", dropout),
            "recurrent_dropout": recurrent_dropout,
            "locked_dropout": locked_dropout,
            "weight_drop": weight_drop,
        }
        """What the model was made from, as the metadata of a checkpoint name it."""
        shared: dict[str, Any] = dict(
            layer_norm=layer_norm,
            forget_bias=forget_bias,
            init=init,
            norm_gain=norm_gain,
            recurrent_dropout=recurrent_dropout,
            locked_dropout=locked_dropout,
            weight_drop=weight_drop,
        )
        if core == "hm_lstm":
            self.hm_lstm = HMLSTM(
                input_size, hidden_sizes, boundary=boundary, slope=slope, boundary_bias=boundary_bias, **shared
            )
        else:
            self.lstm = StackedLSTM(input_size, hidden_sizes, **shared)
        self.output = OutputModule(hidden_sizes, output_embedding_size, classes)
        self.dropout = nn.Dropout(dropout)
        self.step = 0
        """Updates that the weights of a checkpoint have had."""
        self.corpus: dict[str, Any] = {}
        """What a checkpoint says of the data it was trained on."""

    @property
    def core(self) -> HMLSTM | StackedLSTM:
        """The recurrent part."""
        return self.hm_lstm if self.config["core"] == "hm_lstm" else self.lstm

    @property
    def slope(self) -> float:
        """The slope of the detectors (1 for the control, which has none)."""
        return self.hm_lstm.slope if self.config["core"] == "hm_lstm" else 1.0

    def set_slope(self, slope: float) -> None:
        """See :meth:`hmrnn.HMLSTM.set_slope`; nothing for the control."""
        if self.config["core"] == "hm_lstm":
            self.hm_lstm.set_slope(slope)

    def set_product_dtype(self, dtype: torch.dtype | None) -> None:
        """torch.bfloat16: products of the recurrent layers and of the output module on rounded operands."""
        self.core.product_dtype = dtype
        self.output.product_dtype = dtype

    def initial_state(self, batch: int) -> HMLSTMState:
        """The core's, all zeros."""
        return self.core.initial_state(batch)


class Vocabulary:
    """The symbols of a character model: byte values in ascending order; a symbol's index is its place.

        >>> Vocabulary(b"banana").encode("nab").tolist()
        [2, 0, 1]
    """

    def __init__(self, symbols: bytes | Sequence[int]) -> None:
        self.symbols = bytes(sorted(set(symbols)))
        self._index = {byte: i for i, byte in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str | bytes) -> Tensor:
        """int64 [number of bytes]; a ``str`` is read as UTF-8.

        Raises:
            ValueError: a byte is no symbol of the model.
        """
        data = text.encode() if isinstance(text, str) else bytes(text)
        for position, byte in enumerate(data):
            if byte not in self._index:
                raise ValueError(f"byte 0x{byte:02x} at position {position} is no symbol of the model")
        return torch.tensor([self._index[byte] for byte in data], dtype=torch.int64)

    def decode(self, index: Tensor) -> bytes:
        """The way back, of a tensor of one dimension."""
        return bytes(self.symbols[i] for i in index.tolist())


class CharLMOutput(NamedTuple):
    """What :meth:`CharLM.forward` returns."""

    logits: Tensor
    """[T, B, V]"""
    core: HMLSTMOutput
    """the recurrent layers' outputs, boundaries and final state"""


class CharLM(_RecurrentModel):
    """Character model: embedding → HM-LSTM (or LSTM) → output module → softmax. The defaults are the paper's for the
    Penn Treebank.

    Args:
        vocabulary: the symbols, or their number V where no text is to be read or written.
        hidden_sizes, layer_norm, boundary, slope, forget_bias, boundary_bias, init, norm_gain, recurrent_dropout,
        locked_dropout, weight_drop: see :class:`HMLSTM`.
        embedding_size: of the input embedding.
        output_embedding_size: of h^e.
        core: ``hm_lstm``, or ``lstm``, the control.
        dropout: of h^e.
        embedding_dropout: probability of dropping a symbol's embedding for a whole window.
    """

    def __init__(
        self,
        vocabulary: Vocabulary | bytes | int,
        *,
        embedding_size: int = 128,
        hidden_sizes: Sequence[int] = (512, 512, 512),
        output_embedding_size: int = 512,
        core: str = "hm_lstm",
        layer_norm: bool = True,
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
        embedding_dropout: float = 0.0,
    ) -> None:
        if isinstance(vocabulary, bytes):
            vocabulary = Vocabulary(vocabulary)
        size = vocabulary if isinstance(vocabulary, int) else len(vocabulary)
        super().__init__(
            embedding_size,
            hidden_sizes,
            output_embedding_size,
            size,
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
        self.config["embedding_size"] = embedding_size
        self.config["embedding_dropout"] = _check_probability("embedding_dropout", embedding_dropout)
        self._vocabulary = None if isinstance(vocabulary, int) else vocabulary
        self.embedding = nn.Embedding(size, embedding_size)

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols.

        Raises:
            ValueError: the model was made from their number alone.
        """
        if self._vocabulary is None:
            raise ValueError("this CharLM was made from the number of its symbols alone; give it a Vocabulary")
        return self._vocabulary

    def forward(self, index: Tensor, state: HMLSTMState | None = None, **call: Any) -> CharLMOutput:
        """``index`` int64 [T, B] in [0, V) from ``state`` (None: zeros); ``call``: keyword arguments of
        :meth:`HMLSTM.forward`."""
        table = self.embedding.weight
        p = self.config["embedding_dropout"]
        if self.training and p > 0:
            table = table * table.new_empty(table.shape[0], 1).bernoulli_(1 - p).div_(1 - p)
        core = self.core.forward_indexed(table, index, state, **call)
        hidden = self.dropout(self.output(core.shown(), core.state_index))
        return CharLMOutput(self.output.softmax(hidden), core)

    @torch.no_grad()
    def bits(self, text: str | bytes) -> Tensor:
        """float64 [number of bytes - 1]: −log₂ of the probability of each symbol of ``text`` but the first, given those
        before it. Their mean is the bits per character."""
        return self._read(text)[0]

    @torch.no_grad()
    def segment(self, text: str | bytes) -> Tensor:
        """[number of bytes, L-1]: where each layer below the top ends a segment (z, equation 6)."""
        return self._read(text)[1]

    def _read(self, text: str | bytes, window: int = 1024) -> tuple[Tensor, Tensor]:
        index = self.vocabulary.encode(text)
        was_training = self.training
        self.eval()
        bits: list[Tensor] = []
        z: list[Tensor] = []
        state, before = None, None
        device = self.embedding.weight.device
        for part in index.split(window):
            out = self(part[:, None].to(device), state)
            logits = out.logits[:, 0] if before is None else torch.cat([before, out.logits[:, 0]])
            target = part[1:] if before is None else part
            scores = torch.log_softmax(logits[: len(target)].double(), -1)
            bits.append(-scores.gather(1, target[:, None].to(device))[:, 0] / math.log(2))
            z.append(out.core.z[:, 0])
            state, before = out.core.state, logits[-1:]
        self.train(was_training)
        return torch.cat(bits).cpu(), torch.cat(z).cpu()

    def sample(self, length: int, prime: str | bytes = b"", *, temperature: float = 1.0, seed: int = 1) -> bytes:
        """``length`` bytes that the model writes after ``prime`` (none: the start of a line), the same for the same
        seed. Temperature 0: always the likeliest."""
        return bytes(self.stream(prime, temperature=temperature, seed=seed, length=length))

    @torch.no_grad()
    def stream(
        self, prime: str | bytes = b"", *, temperature: float = 1.0, seed: int = 1, length: int | None = None
    ) -> Iterator[int]:
        """Byte after byte of :meth:`sample`, without end where no length is given."""
        if temperature < 0:
            raise ValueError(f"temperature must be at least 0, got {temperature}")
        if not prime:
            known = self.vocabulary.symbols
            prime = next((bytes([b]) for b in b"\n " if b in known), known[:1])
        generator = torch.Generator().manual_seed(seed)
        # The programs' own generator of Bernoulli boundaries has the seed to itself.
        noise = torch.Generator().manual_seed(seed)
        index, state, count = self.vocabulary.encode(prime), None, 0
        self.eval()
        while length is None or count < length:
            call = {}
            if isinstance(self.core, HMLSTM) and self.core.boundary == "bernoulli":
                call["noise"] = torch.rand(len(index), len(self.core.layers) - 1, generator=noise)[:, None].to(
                    self.embedding.weight.device
                )
            out = self(index[:, None].to(self.embedding.weight.device), state, **call)
            state = out.core.state
            scores = out.logits[-1, 0].double().cpu()
            if temperature == 0:
                symbol = int(scores.argmax())
            else:
                weights = torch.softmax((scores - scores.max()) / temperature, 0)
                symbol = int(torch.multinomial(weights, 1, replacement=True, generator=generator))
            yield self.vocabulary.symbols[symbol]
            index, count = torch.tensor([symbol]), count + 1


class Mixture(NamedTuple):
    """A mixture of M Gaussians of two dimensions for an offset (x, y), and a Bernoulli for the pen."""

    log_weight: Tensor
    """[…, M]"""
    mean_x: Tensor
    mean_y: Tensor
    log_deviation_x: Tensor
    log_deviation_y: Tensor
    correlation: Tensor
    pen_logit: Tensor
    """[…]: of the pen being lifted after the point"""

    @staticmethod
    def read(raw: Tensor) -> Mixture:
        """From the model's output [..., 6M + 1]."""
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
        """[…]: log density in nats of points ``target`` [..., 3] = (x, y, pen)."""
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
        """The distribution of the point after each point."""
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
        self.mixture = _MixtureDensity(output_embedding_size, mixtures)
        self.normalisation: dict[str, Any] = {"coordinates": "offsets", "mean": [0.0, 0.0], "deviation": [1.0, 1.0]}
        """How the points were standardised: coordinates (``offsets`` or ``absolute``), mean and deviation of x and y."""

    def forward(self, input: Tensor, state: HMLSTMState | None = None, **call: Any) -> HandwritingOutput:
        """``input`` [T, B, 3], standardised points, from ``state`` (None: zeros); ``call``: keyword arguments of
        :meth:`HMLSTM.forward`."""
        core = self.core(input, state, **call)
        return HandwritingOutput(self.mixture(self.dropout(self.output(core.shown(), core.state_index))), core)
