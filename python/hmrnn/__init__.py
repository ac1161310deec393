"""Hierarchical Multiscale Recurrent Neural Networks (Chung, Ahn and Bengio 2016): a recurrent network that learns where
segments of a sequence end, layer by layer, and updates a layer only when the one below has finished a segment.

    >>> import hmrnn, torch
    >>> model = hmrnn.HMLSTM(input_size=64, hidden_sizes=[128, 128, 128])
    >>> out = model(torch.randn(50, 8, 64))
    >>> out.z.mean((0, 1))                # how often each layer below the top ends a segment

The computation is that of libhmrnn, the same as in the C++ programs; the operators are ``torch.ops.hmrnn.hm_lstm`` and
``torch.ops.hmrnn.gated_output``.
"""

from ._library import load_library

library = load_library()
"""The path of the libhmrnn that is loaded."""

from .cell import HMLSTMCell  # noqa: E402
from .char_lm import CharLM, CharLMOutput, Vocabulary  # noqa: E402
from .checkpoint import load, save  # noqa: E402
from .handwriting import HandwritingModel, HandwritingOutput, Mixture  # noqa: E402
from .nn import HMLSTM, StackedLSTM  # noqa: E402
from .output_module import OutputModule  # noqa: E402
from .package import export, package  # noqa: E402
from .state import HMLSTMOutput, HMLSTMState  # noqa: E402

__all__ = [
    "CharLM",
    "CharLMOutput",
    "HMLSTM",
    "HMLSTMCell",
    "HMLSTMOutput",
    "HMLSTMState",
    "HandwritingModel",
    "HandwritingOutput",
    "Mixture",
    "OutputModule",
    "StackedLSTM",
    "Vocabulary",
    "export",
    "library",
    "load",
    "package",
    "save",
]
