"""Checkpoints: ``model.safetensors`` as the programs write and read it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .char_lm import CharLM, Vocabulary
from .handwriting import HandwritingModel
from .metadata import options_of, parse_metadata

__all__ = ["load", "save"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def _find(run: Path) -> Path:
    if not run.exists():
        raise FileNotFoundError(f"{run} does not exist")
    if not run.is_dir():
        return run
    for name in ("best/model.safetensors", "last/model.safetensors", "model.safetensors"):
        if (run / name).exists():
            return run / name
    raise FileNotFoundError(f"{run} holds no model: there is neither best/model.safetensors nor last/model.safetensors")


def _message(error: RuntimeError, path: Path) -> str:
    """The library's line without its leading path."""
    return str(error).splitlines()[0].removeprefix(f"{path}: ")


def _read(path: Path) -> tuple[str, dict[str, Tensor]]:
    """The metadata under the key ``hmrnn``, and the tensors in float32."""
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # what cannot be opened is an OSError
    try:
        tensors, of_file = torch.ops.hmrnn._read_safetensors(str(path))
    except RuntimeError as error:
        raise ValueError(_message(error, path)) from None
    metadata = of_file.get("hmrnn")
    if metadata is None:
        raise ValueError("no metadata under the key hmrnn, so no model of this project")
    for name, value in tensors.items():
        if value.dtype not in _DTYPES:
            raise ValueError(f"tensor {name} is {value.dtype}, not float32, float16 or bfloat16")
    return metadata, {name: value.float() for name, value in tensors.items()}


def _expect_size(tensors: dict[str, Tensor], name: str, dim: int, size: Any, what: str) -> None:
    tensor = tensors.get(name)
    if tensor is None:
        raise ValueError(f"tensor {name} is missing")
    if tensor.dim() != 2 or tensor.shape[dim] != size:
        raise ValueError(
            f"tensor {name} has shape {list(tensor.shape)}, which does not fit the {what} {size} of its metadata"
        )


def _expect_sizes(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Compares the sizes of the metadata with the tensors, before a model of these sizes is allocated."""
    for l, size in enumerate(about["hidden_sizes"]):
        _expect_size(tensors, f"{about['core']}.layers.{l}.recurrent", 1, size, "layer size")
    if about["kind"] == "char_lm":
        _expect_size(tensors, "embedding.weight", 0, len(about["vocabulary"]), "vocabulary of size")
        _expect_size(tensors, "embedding.weight", 1, about["embedding_size"], "embedding size")
        last = "output.softmax.weight"
    else:
        last = "mixture.linear.weight"
        _expect_size(tensors, last, 0, 6 * about["mixtures"] + 1, "mixture's number of outputs")
    _expect_size(tensors, last, 1, about["output_embedding_size"], "output embedding size")


def _require_finite(tensors: dict[str, Tensor]) -> None:
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise ValueError(f"tensor {name} has values that are not finite")


def load(run: str | os.PathLike[str], device: torch.device | str = "cpu") -> CharLM | HandwritingModel:
    """The model of the folder of a run (its best, else its last), or of a ``model.safetensors``, in evaluation mode.
    What the programs refuse is refused here too.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be opened.
        ValueError: it is no model of this project, it is damaged (a checksum differs), its metadata are malformed or
            have an entry that this version does not know, its tensors are not those that its metadata describe, or they
            have values that are not finite.
    """
    path = _find(Path(run))
    try:
        metadata, tensors = _read(path)
        about = parse_metadata(metadata)
        _expect_sizes(tensors, about)
        model: CharLM | HandwritingModel
        if about["kind"] == "char_lm":
            model = CharLM(Vocabulary(about["vocabulary"]), **options_of(about))
        else:
            model = HandwritingModel(**options_of(about))
            model.normalisation = about["normalisation"]
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(" ".join(str(error).split())) from None  # on one line
        _require_finite(tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    model.step, model.corpus = about.get("step", 0), about.get("corpus", {})
    return model.to(device).eval()


def save(model: CharLM | HandwritingModel, path: str | os.PathLike[str]) -> None:
    """Writes ``model`` as a ``model.safetensors`` that :func:`load` and the programs read, with checksums. Replaces an
    existing file atomically.

    Raises:
        ValueError: a character model without a vocabulary, a model in another dtype than float32 or with values that are
            not finite, or a ``corpus`` or ``normalisation`` that is not one of a checkpoint. An existing file is then
            kept.
        OSError: the file cannot be written. An existing file is then kept.
    """
    kind = "char_lm" if isinstance(model, CharLM) else "handwriting"
    about: dict[str, Any] = {"format": 1, "kind": kind, **model.config, "slope": model.slope, "step": model.step}
    if isinstance(model, CharLM):
        about["vocabulary"] = list(model.vocabulary.symbols)
        about["corpus"] = model.corpus or {"name": "text"}
    else:
        about["normalisation"] = model.normalisation
        about["corpus"] = model.corpus or {
            "name": "synthetic",
            "split": "paper",
            "split_seed": 1,
            "min_points": 300,
            "on_bad_file": "stop",
        }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name, value in tensors.items():
        if value.dtype != torch.float32:
            raise ValueError(f"{name} is {value.dtype}; a checkpoint holds float32")
    _require_finite(tensors)
    metadata = json.dumps(about, allow_nan=False)
    parse_metadata(metadata)  # the attributes of a model can be set to anything
    try:
        torch.ops.hmrnn._write_safetensors(str(path), tensors, {"hmrnn": metadata})
    except RuntimeError as error:
        raise OSError(str(error).splitlines()[0]) from None
