"""Evaluation of a model leaves the mode of every module as it was, and errors in what is read name it."""

import pytest
import torch

import hmrnn
from programs import make_model

TEXT = b"no yes no "


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def mixed(**options):
    """A model in training, one submodule of which the user has set to evaluation mode."""
    model = make_model(TEXT, dropout=0.5, **options).train()
    model.dropout.eval()
    return model


CALLS = {
    "bits": lambda model: model.bits(TEXT),
    "segment": lambda model: model.segment(TEXT),
    "sample": lambda model: model.sample(3),
    "stream": lambda model: next(model.stream()),
    "export": lambda model: hmrnn.export(model),
}


@pytest.mark.parametrize("name", CALLS)
def test_evaluation_restores_the_mode_of_every_module(name):
    model = mixed()
    before = modes(model)
    assert not before["dropout"] and before["output"] and before[""]
    CALLS[name](model)
    assert modes(model) == before


@pytest.mark.parametrize("name", CALLS)
def test_an_exception_in_evaluation_restores_the_mode_of_every_module(name):
    class Interrupted(Exception):
        pass

    seen = []

    def interrupt(module, inputs):
        seen.append(module.training)
        raise Interrupted

    model = mixed()
    model.output.register_forward_pre_hook(interrupt)
    before = modes(model)
    with pytest.raises(Interrupted):
        CALLS[name](model)
    assert seen == [False]  # the exception came from inside of the evaluation
    assert modes(model) == before


def test_the_caller_may_train_between_two_symbols_of_a_stream():
    model = mixed()
    stream = model.stream()
    next(stream)
    model.eval()
    next(stream)
    assert not model.training
    model.train()
    next(stream)
    assert all(modes(model).values())


def test_an_empty_text_is_refused():
    model = make_model(TEXT)
    for read in (model.bits, model.segment):
        for text in ("", b""):
            with pytest.raises(ValueError, match="^the text is empty$"):
                read(text)
    assert model.bits(b"n").shape == (0,) and model.segment(b"n").shape == (1, 2)


def test_values_that_are_not_finite_are_no_results():
    model = make_model(TEXT)
    with torch.no_grad():
        model.output.softmax.bias[0] = float("nan")
    for call in (
        lambda: model.bits(TEXT),
        lambda: model.segment(TEXT),
        lambda: model.sample(3, temperature=0),
        lambda: model.sample(3),
    ):
        with pytest.raises(ValueError, match="^this model computes values that are not finite$"):
            call()


def test_arguments_of_sample_are_checked():
    model = make_model(TEXT)
    with pytest.raises(ValueError, match="^length must be at least 0, got -1$"):
        model.sample(-1)
    with pytest.raises(ValueError, match="^temperature must be at least 0, got -1$"):
        model.sample(1, temperature=-1)
    with pytest.raises(ValueError, match="^temperature must be a finite number, got nan$"):
        model.sample(1, temperature=float("nan"))
    assert model.sample(0) == b""
