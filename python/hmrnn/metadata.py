"""The metadata of a checkpoint: the JSON object under the key ``hmrnn``, with the checks of the programs."""

from __future__ import annotations

import json
from typing import Any

from .checks import _check_choice, _check_finite
from .recurrent_model import CORES

KINDS = ("char_lm", "handwriting")
COORDINATES = ("offsets", "absolute")

# Entries and their types in JSON; a number may be written as a whole one. Those of _SINCE may be missing: checkpoints
# from before they existed have none.
_SHARED: dict[str, type] = {
    "core": str,
    "hidden_sizes": list,
    "output_embedding_size": int,
    "layer_norm": bool,
    "boundary": str,
    "slope": float,
    "forget_bias": float,
    "boundary_bias": float,
    "dropout": float,
}
_SHARED_SINCE: dict[str, type] = {
    "init": str,
    "norm_gain": float,
    "recurrent_dropout": float,
    "locked_dropout": float,
    "weight_drop": float,
    "step": int,
}
_REQUIRED: dict[str, dict[str, type]] = {
    "char_lm": {**_SHARED, "embedding_size": int, "vocabulary": list},
    "handwriting": {**_SHARED, "mixtures": int, "normalisation": dict, "corpus": dict},
}
_SINCE: dict[str, dict[str, type]] = {
    "char_lm": {**_SHARED_SINCE, "embedding_dropout": float, "corpus": dict},
    "handwriting": _SHARED_SINCE,
}
_NO_OPTIONS = ("vocabulary", "normalisation", "corpus", "step")
_OF_CORPUS: dict[str, dict[str, type]] = {
    "char_lm": {"name": str},
    "handwriting": {"name": str, "split": str, "split_seed": int, "min_points": int, "on_bad_file": str},
}
_OF_TRAINING = ("epoch", "validation_loss")
_NAMES = {
    str: "a string",
    list: "a list",
    int: "a whole number",
    bool: "true or false",
    float: "a number",
    dict: "an object",
}


def _excerpt(value: Any) -> str:
    """``value`` for an error message: on one line, truncated if long."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON, though Python's parser accepts it")


def _is(value: Any, type_: type) -> bool:
    if isinstance(value, bool):  # in Python, True is an int
        return type_ is bool
    return isinstance(value, (int, float) if type_ is float else type_)


def _check_entries(about: dict[str, Any], required: dict[str, type], since: dict[str, type], where: str = "") -> None:
    for name, type_ in {**required, **since}.items():
        if name not in about:
            if name in since:
                continue
            raise ValueError(f"malformed metadata: {where}{name} is missing")
        if not _is(about[name], type_):
            raise ValueError(f"malformed metadata: {where}{name} is {_excerpt(about[name])}, not {_NAMES[type_]}")


def _check_vocabulary(symbols: list[Any]) -> None:
    for symbol in symbols:
        if not (_is(symbol, int) and 0 <= symbol <= 255):
            raise ValueError(f"vocabulary has {_excerpt(symbol)}, which is not a byte value")


def _check_normalisation(normalisation: dict[str, Any]) -> None:
    _check_choice("coordinates", normalisation.get("coordinates"), COORDINATES)
    for name in ("mean", "deviation"):
        values = normalisation.get(name)
        if not (isinstance(values, list) and len(values) == 2 and all(_is(x, float) for x in values)):
            raise ValueError(f"normalisation: {name} must be two numbers, got {_excerpt(values)}")
        for value in values:
            _check_finite(f"normalisation: {name}", value, positive=name == "deviation")


def options_of(about: dict[str, Any]) -> dict[str, Any]:
    """The entries of parsed metadata that are arguments of the model's constructor, but for the vocabulary."""
    known = {**_REQUIRED[about["kind"]], **_SINCE[about["kind"]]}
    return {name: about[name] for name in known if name in about and name not in _NO_OPTIONS}


def parse_metadata(text: str) -> dict[str, Any]:
    """The JSON object ``text``, which describes a model. The values of its options are left to the model's constructor.

    Raises:
        ValueError: it is malformed, of another kind or format, or has an entry that this version does not know: it may
            be an option of a newer version that changes the model.
    """
    try:
        about = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise ValueError("the metadata under the key hmrnn are not a JSON object")
    kind = about.get("kind")
    if about.get("format") != 1 or kind not in KINDS:
        raise ValueError(f"unknown format {_excerpt(about.get('format'))} of kind {_excerpt(kind)}")
    if kind == "char_lm" and about.get("boundaries"):
        given = _excerpt(about["boundaries"])
        raise ValueError(f"trained with given boundaries ({given}), which only the programs know")
    required, since = _REQUIRED[kind], _SINCE[kind]
    _check_entries(about, required, since)
    for name in about:
        if name not in required and name not in since and name not in ("format", "kind", *_OF_TRAINING):
            raise ValueError(f"the metadata have the entry {_excerpt(name)}, which this version does not know")
    _check_choice("core", about["core"], CORES)
    if "corpus" in about:
        _check_entries(about["corpus"], _OF_CORPUS[kind], {}, "corpus: ")
    if kind == "char_lm":
        _check_vocabulary(about["vocabulary"])
    else:
        _check_normalisation(about["normalisation"])
    return about
