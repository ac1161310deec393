"""Checkpoints: ``model.safetensors`` as the programs write and read it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .char_lm import CharLM, Vocabulary
from .handwriting import HandwritingModel

__all__ = ["load", "save"]

_SHARED = (
    "core",
    "layer_norm",
    "boundary",
    "slope",
    "forget_bias",
    "boundary_bias",
    "init",
    "norm_gain",
    "dropout",
    "recurrent_dropout",
    "locked_dropout",
    "weight_drop",
)


def _find(run: Path) -> Path:
    if not run.exists():
        raise FileNotFoundError(f"{run} does not exist")
    if not run.is_dir():
        return run
    for name in ("best/model.safetensors", "last/model.safetensors", "model.safetensors"):
        if (run / name).exists():
            return run / name
    raise FileNotFoundError(f"{run} holds no model: there is neither best/model.safetensors nor last/model.safetensors")


def load(run: str | os.PathLike[str], device: torch.device | str = "cpu") -> CharLM | HandwritingModel:
    """The model of the folder of a run (its best, else its last), or of a ``model.safetensors``, in evaluation mode.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no model of this project, or its tensors are not those that its metadata describe.
    """
    path = _find(Path(run))
    with safe_open(path, framework="pt") as file:
        metadata = (file.metadata() or {}).get("hmrnn")
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    if metadata is None:
        raise ValueError(f"{path}: no metadata under the key hmrnn, so no model of this project")
    about = json.loads(metadata)
    if about.get("format") != 1 or about.get("kind") not in ("char_lm", "handwriting"):
        raise ValueError(f"{path}: unknown format {about.get('format')!r} of kind {about.get('kind')!r}")
    if about.get("boundaries"):
        raise ValueError(f"{path}: trained with given boundaries ({about['boundaries']}), which only the programs know")
    shared = {name: about[name] for name in _SHARED if name in about}
    sizes: dict[str, Any] = {
        "hidden_sizes": about["hidden_sizes"],
        "output_embedding_size": about["output_embedding_size"],
    }
    model: CharLM | HandwritingModel
    if about["kind"] == "char_lm":
        model = CharLM(
            Vocabulary(about["vocabulary"]),
            embedding_size=about["embedding_size"],
            embedding_dropout=about.get("embedding_dropout", 0.0),
            **sizes,
            **shared,
        )
    else:
        model = HandwritingModel(mixtures=about["mixtures"], **sizes, **shared)
        model.normalisation = about["normalisation"]
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None
    model.step, model.corpus = about.get("step", 0), about.get("corpus", {})
    return model.to(device).eval()


def save(model: CharLM | HandwritingModel, path: str | os.PathLike[str]) -> None:
    """Writes ``model`` as a ``model.safetensors`` that :func:`load` and the programs read. Replaces an existing file
    atomically.

    Raises:
        ValueError: a character model without a vocabulary, or a model in another dtype than float32.
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
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    save_file(tensors, partial, metadata={"hmrnn": json.dumps(about)})
    partial.replace(path)
