"""Checks of arguments, the same as in the constructors of C++. Without them a size of 0 would end the process in the
first forward pass, and a gain that is not finite would give a model of NaN."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any


def _check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def _check_size(name: str, size: Any, least: int = 1) -> int:
    try:
        whole = operator.index(size)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {size!r}") from None
    if whole < least:
        raise ValueError(f"{name} must be at least {least}, got {whole}")
    return whole


def _check_sizes(name: str, sizes: Iterable[int]) -> tuple[int, ...]:
    """The units of each layer."""
    try:
        layers = tuple(sizes)
    except TypeError:
        raise ValueError(f"{name} must be a list of one size for each layer, got {sizes!r}") from None
    if not layers:
        raise ValueError(f"{name} must name at least one layer")
    try:
        return tuple(_check_size(name, size) for size in layers)
    except ValueError as error:
        raise ValueError(f"{error} in {list(layers)}") from None


def _check_finite(name: str, value: Any, *, positive: bool = False) -> float:
    try:
        valid = math.isfinite(value) and (value > 0 or not positive)
    except (TypeError, OverflowError):
        valid = False
    if not valid:
        raise ValueError(f"{name} must be a finite number{' above 0' if positive else ''}, got {value}")
    return float(value)


def _check_probability(name: str, p: Any) -> float:
    try:
        valid = bool(0 <= p < 1)
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(f"{name} must be at least 0 and below 1, got {p}")
    return float(p)
