"""A trained model as a package that a C++ program runs without Python."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from .char_lm import CharLM
from .checks import _check_size
from .evaluation import _evaluation_mode
from .state import HMLSTMState

__all__ = ["export", "package"]


class _Flat(nn.Module):
    """A :class:`CharLM` whose arguments and results are tensors: (index, h of each layer, c of each layer, z) →
    (logits, h…, c…, z)."""

    def __init__(self, model: CharLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, index: Tensor, h: list[Tensor], c: list[Tensor], z: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        # Not CharLM.forward, which multiplies the whole embedding table or the window's embeddings, depending on the
        # window's size: an exported program for windows of any size cannot choose by size.
        core = model.core(model.embedding(index), HMLSTMState(h, c, z))
        logits = model.output.softmax(model.output(core.h, core.state_index))
        return (logits, *core.state.h, *core.state.c, core.state.z)


def export(model: CharLM, *, steps: int = 16, batch: int = 4) -> ExportedProgram:
    """The forward pass of ``model`` in evaluation, for windows of any number of steps and rows.

    Inputs: index int64 [T, B]; h per layer [B, d_l]; c per layer [B, d_l]; z [B, L-1]: the state before the window, at
    first :meth:`CharLM.initial_state`. Outputs: logits [T, B, V], then the state after the window, in the same order.

    Args:
        steps, batch: of the example that is traced.

    Raises:
        ValueError: soft boundaries, which are computed a step at a time, or Bernoulli ones, which need noise; ``steps``
            or ``batch`` below 1.
    """
    boundary = model.config["boundary"]
    if model.config["core"] == "hm_lstm" and boundary != "step":
        raise ValueError(f"a model of {boundary} boundaries cannot be exported, only one of step boundaries")
    steps, batch = _check_size("steps", steps), _check_size("batch", batch)
    device = model.embedding.weight.device
    index = torch.zeros(steps, batch, dtype=torch.int64, device=device)
    state = model.initial_state(batch)
    rows = Dim("batch", min=1, max=1 << 20)
    shapes = (
        {0: Dim("steps", min=1, max=1 << 20), 1: rows},
        [{0: rows} for _ in state.h],
        [{0: rows} for _ in state.c],
        {0: rows},
    )
    with _evaluation_mode(model), torch.no_grad():
        return torch.export.export(_Flat(model), (index, state.h, state.c, state.z), dynamic_shapes=shapes, strict=False)


def package(model: CharLM, path: str | Path, **example: int) -> Path:
    """Compiles :func:`export`'s program by AOTInductor into the package ``path`` (…​.pt2), which a C++ program that
    links libhmrnn loads by ``torch::inductor::AOTIModelPackageLoader`` (examples/embed/packaged.cpp). Needs a C++
    compiler. The package runs on the kind of device and processor that it was made on."""
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"the name of a package ends in .pt2, not as {path.name} does")
    program = export(model, **example)
    # The package uses the LibTorch of the program that loads it: libtorch.so would load CUDA's libraries on a CPU too.
    configs = {"aot_inductor.link_libtorch": False}
    return Path(torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=configs))
