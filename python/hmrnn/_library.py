"""Loads libhmrnn, which registers the operators ``torch.ops.hmrnn.*``."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def _release(version: str) -> str:
    """"2.11.0+cu130" → "2.11"."""
    return ".".join(version.split("+")[0].split(".")[:2])


def _built_with(folder: Path) -> str | None:
    """The version of LibTorch that the library in ``folder`` was built with; None if it is not recorded there."""
    try:
        return (folder / "torch_version.txt").read_text().strip()
    except FileNotFoundError:
        return None


def load_library() -> Path:
    """Loads libhmrnn and returns its path: that of ``HMRNN_LIBRARY``, else the package's own. If there is a GPU, also
    loads libhmrnn_cuda from the same folder.

    Raises:
        ImportError: there is none, or it was built with another release of torch than the one that is installed.
    """
    here = Path(__file__).parent
    named = os.environ.get("HMRNN_LIBRARY")
    path = Path(named) if named else here / "libhmrnn.so"
    if not path.is_file():
        raise ImportError(f"hmrnn: there is no {path}" + ("; HMRNN_LIBRARY names it" if named else ""))
    built_with = _built_with(path.parent)
    if built_with and _release(built_with) != _release(torch.__version__):
        raise ImportError(
            f"hmrnn was built with torch {built_with} and needs torch {_release(built_with)}; torch {torch.__version__} is installed"
        )
    torch.ops.load_library(str(path))
    cuda = path.with_name("libhmrnn_cuda.so")
    if cuda.is_file() and torch.cuda.is_available():
        torch.ops.load_library(str(cuda))
    return path
