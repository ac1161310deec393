"""Evaluation mode for the time of one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Sets ``model`` to evaluation mode. Afterwards, also after an exception, every module has the mode that it had
    before. (``model.train(True)`` would not restore it: it sets every submodule to training mode, also one that the
    caller had set to evaluation mode.)"""
    before = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in before:
            module.training = training
