"""The model of the program ``char_lm``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .checks import _check_finite, _check_probability, _check_size
from .evaluation import _evaluation_mode
from .nn import HMLSTM
from .recurrent_model import _RecurrentModel
from .state import HMLSTMOutput, HMLSTMState


class Vocabulary:
    """The symbols of a character model: byte values; a symbol's index is its position in ``symbols``.

        >>> Vocabulary.of("banana").encode("nab").tolist()
        [2, 0, 1]

    Raises:
        ValueError: there are none, one occurs twice, or one is not a byte value.
    """

    def __init__(self, symbols: bytes | Sequence[int]) -> None:
        if isinstance(symbols, int):  # bytes(3) would be three zero bytes
            raise ValueError(f"the symbols of a vocabulary must be bytes or a list of byte values, got {symbols}")
        self.symbols = bytes(symbols)
        self._index = {byte: i for i, byte in enumerate(self.symbols)}
        if not self.symbols or len(self._index) < len(self.symbols):
            raise ValueError(f"a vocabulary has at least one symbol, and each once, got {self.symbols!r}")

    @classmethod
    def of(cls, text: str | bytes) -> Vocabulary:
        """The byte values that occur in ``text`` (a ``str``: as UTF-8), in ascending order, as `train` takes them."""
        return cls(bytes(sorted(set(text.encode() if isinstance(text, str) else text))))

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
        """The bytes of a tensor [N] of indices.

        Raises:
            IndexError: one is outside of the vocabulary.
        """
        for position, i in enumerate(index.tolist()):
            if not 0 <= i < len(self.symbols):  # Python counts a negative one from the end
                raise IndexError(
                    f"index {i} at position {position} is outside of the vocabulary of {len(self.symbols)} symbols"
                )
        return bytes(self.symbols[i] for i in index.tolist())


def _require_finite(logits: Tensor) -> None:
    # As in the programs: a text sampled from NaN would look like the model's.
    if not logits.isfinite().all():
        raise ValueError("this model computes values that are not finite")


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
        vocabulary: the symbols in index order, or their number V where no text is to be read or written.
        hidden_sizes, layer_norm, boundary, slope, forget_bias, boundary_bias, init, norm_gain, recurrent_dropout,
        locked_dropout, weight_drop: see :class:`HMLSTM`.
        embedding_size: of the input embedding.
        output_embedding_size: of h^e.
        core: ``hm_lstm``, or ``lstm``, the control.
        dropout: of h^e.
        embedding_dropout: probability of dropping a symbol's embedding for a whole window.

    Raises:
        ValueError: an argument is out of its range, as in :class:`HMLSTM`.
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
        if isinstance(vocabulary, str):  # its number of characters would otherwise pass for that of its symbols
            raise ValueError(f"vocabulary must be a Vocabulary, bytes or a number of symbols, got {vocabulary!r}")
        if isinstance(vocabulary, (bytes, bytearray)):
            vocabulary = Vocabulary(vocabulary)
        symbols = vocabulary if isinstance(vocabulary, Vocabulary) else None
        size = len(symbols) if symbols is not None else _check_size("vocabulary", vocabulary)
        embedding_size = _check_size("embedding_size", embedding_size)
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
        self._vocabulary = symbols
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
        before it. Their mean is the bits per character.

        Raises:
            ValueError: ``text`` is empty, a byte of it is no symbol of the model, or the model computes values that are
                not finite.
        """
        return self._read(text)[0]

    @torch.no_grad()
    def segment(self, text: str | bytes) -> Tensor:
        """[number of bytes, L-1]: z, where each layer below the top ends a segment.

        Raises:
            ValueError: see :meth:`bits`.
        """
        return self._read(text)[1]

    def _read(self, text: str | bytes, window: int = 1024) -> tuple[Tensor, Tensor]:
        index = self.vocabulary.encode(text)
        if not len(index):
            raise ValueError("the text is empty")
        bits: list[Tensor] = []
        z: list[Tensor] = []
        state, before = None, None
        device = self.embedding.weight.device
        with _evaluation_mode(self):
            for part in index.split(window):
                out = self(part[:, None].to(device), state)
                _require_finite(out.logits)
                logits = out.logits[:, 0] if before is None else torch.cat([before, out.logits[:, 0]])
                target = part[1:] if before is None else part
                scores = torch.log_softmax(logits[: len(target)].double(), -1)
                bits.append(-scores.gather(1, target[:, None].to(device))[:, 0] / math.log(2))
                z.append(out.core.z[:, 0])
                state, before = out.core.state, logits[-1:]
        return torch.cat(bits).cpu(), torch.cat(z).cpu()

    def sample(self, length: int, prime: str | bytes = b"", *, temperature: float = 1.0, seed: int = 1) -> bytes:
        """Samples ``length`` bytes after ``prime`` (none: the start of a line); equal seeds give equal bytes.
        Temperature 0: always the most probable byte.

        Raises:
            ValueError: ``length`` or ``temperature`` is below 0, a byte of ``prime`` is no symbol of the model, or the
                model computes values that are not finite.
        """
        return bytes(self.stream(prime, temperature=temperature, seed=seed, length=length))

    @torch.no_grad()
    def stream(
        self, prime: str | bytes = b"", *, temperature: float = 1.0, seed: int = 1, length: int | None = None
    ) -> Iterator[int]:
        """Yields the bytes of :meth:`sample` one by one; without a length it does not end. Errors are raised at the
        first byte."""
        if _check_finite("temperature", temperature) < 0:
            raise ValueError(f"temperature must be at least 0, got {temperature}")
        if length is not None:
            length = _check_size("length", length, least=0)
        if not prime:
            known = self.vocabulary.symbols
            prime = next((bytes([b]) for b in b"\n " if b in known), known[:1])
        generator = torch.Generator().manual_seed(seed)
        # As in the programs, Bernoulli boundaries are drawn from a second generator with the same seed.
        noise = torch.Generator().manual_seed(seed)
        index, state, count = self.vocabulary.encode(prime), None, 0
        while length is None or count < length:
            call = {}
            if isinstance(self.core, HMLSTM) and self.core.boundary == "bernoulli":
                call["noise"] = torch.rand(len(index), len(self.core.layers) - 1, generator=noise)[:, None].to(
                    self.embedding.weight.device
                )
            # At each symbol, since the caller may train between two.
            with _evaluation_mode(self):
                out = self(index[:, None].to(self.embedding.weight.device), state, **call)
            _require_finite(out.logits)
            state = out.core.state
            scores = out.logits[-1, 0].double().cpu()
            if temperature == 0:
                symbol = int(scores.argmax())
            else:
                weights = torch.softmax((scores - scores.max()) / temperature, 0)
                symbol = int(torch.multinomial(weights, 1, replacement=True, generator=generator))
            yield self.vocabulary.symbols[symbol]
            index, count = torch.tensor([symbol]), count + 1
