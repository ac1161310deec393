"""Arguments that the constructors and functions of C++ refuse are refused in Python too, with one line that names the
argument and its value."""

import math

import numpy
import pytest
import torch

import hmrnn

NAN, INF = math.nan, math.inf
STACKS = [hmrnn.HMLSTM, hmrnn.StackedLSTM]


def char_lm(vocabulary=5, **options):
    sizes = dict(hidden_sizes=[4, 4], embedding_size=3, output_embedding_size=4)
    return hmrnn.CharLM(vocabulary, **{**sizes, **options})


def handwriting(**options):
    return hmrnn.HandwritingModel(**{**dict(hidden_sizes=[4, 4], output_embedding_size=4, mixtures=2), **options})


def cell(**options):
    return hmrnn.HMLSTMCell(**{**dict(input_size=5, hidden_size=4, above_size=3), **options})


def output_module(**options):
    return hmrnn.OutputModule(**{**dict(hidden_sizes=[4, 4], embedding_size=3), **options})


def refused(make, message, **options):
    with pytest.raises(ValueError) as error:
        make(**options)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_one_are_refused(value):
    refused(cell, f"input_size must be at least 1, got {value}", input_size=value)
    refused(cell, f"hidden_size must be at least 1, got {value}", hidden_size=value)
    for make in STACKS:
        refused(make, f"input_size must be at least 1, got {value}", input_size=value, hidden_sizes=[4, 4])
        refused(make, f"hidden_sizes must be at least 1, got {value} in [4, {value}, 4]", input_size=5,
                hidden_sizes=[4, value, 4])  # fmt: skip
    refused(output_module, f"hidden_sizes must be at least 1, got {value} in [{value}]", hidden_sizes=[value])
    refused(output_module, f"embedding_size must be at least 1, got {value}", embedding_size=value)
    refused(char_lm, f"vocabulary must be at least 1, got {value}", vocabulary=value)
    refused(char_lm, f"embedding_size must be at least 1, got {value}", embedding_size=value)
    refused(handwriting, f"mixtures must be at least 1, got {value}", mixtures=value)
    for make in (char_lm, handwriting):
        refused(make, f"output_embedding_size must be at least 1, got {value}", output_embedding_size=value)
        refused(make, f"hidden_sizes must be at least 1, got {value} in [4, {value}]", hidden_sizes=[4, value])


def test_sizes_that_may_be_zero_must_not_be_negative():
    refused(cell, "above_size must be at least 0, got -1", above_size=-1)
    refused(output_module, "classes must be at least 0, got -1", classes=-1)
    assert cell(above_size=0).top_down is None and not hasattr(output_module(classes=0), "softmax")


def test_a_stack_without_layers_or_with_a_size_that_is_no_whole_number_is_refused():
    for make in STACKS:
        refused(make, "hidden_sizes must name at least one layer", input_size=5, hidden_sizes=[])
        refused(make, "hidden_sizes must be a list of one size for each layer, got 4", input_size=5, hidden_sizes=4)
        refused(make, "hidden_sizes must be a whole number, got 4.5 in [4.5]", input_size=5, hidden_sizes=[4.5])
        refused(make, "input_size must be a whole number, got '5'", input_size="5", hidden_sizes=[4])
    refused(output_module, "hidden_sizes must name at least one layer", hidden_sizes=[])
    refused(char_lm, "hidden_sizes must name at least one layer", hidden_sizes=[])


@pytest.mark.parametrize("value", [0, -1, NAN, INF])
def test_eps_and_slope_must_be_above_zero(value):
    message = f"must be a finite number above 0, got {value}"
    refused(cell, f"eps {message}", eps=value)
    for make in STACKS:
        refused(make, f"eps {message}", input_size=5, hidden_sizes=[4], eps=value)
    refused(hmrnn.HMLSTM, f"slope {message}", input_size=5, hidden_sizes=[4], slope=value)
    for make in (char_lm, handwriting):
        for core in ("hm_lstm", "lstm"):  # a checkpoint of the control holds them too
            refused(make, f"slope {message}", core=core, slope=value)


@pytest.mark.parametrize("value", [NAN, INF, -INF, "1"])
@pytest.mark.parametrize("name", ["norm_gain", "forget_bias", "boundary_bias"])
def test_gains_and_biases_must_be_finite(name, value):
    message = f"{name} must be a finite number, got {value}"
    refused(cell, message, **{name: value})
    refused(hmrnn.HMLSTM, message, input_size=5, hidden_sizes=[4], **{name: value})
    if name != "boundary_bias":
        refused(hmrnn.StackedLSTM, message, input_size=5, hidden_sizes=[4], **{name: value})
    for make in (char_lm, handwriting):
        for core in ("hm_lstm", "lstm"):
            refused(make, message, core=core, **{name: value})


@pytest.mark.parametrize("value", [1, -0.1, NAN, "0.5"])
def test_probabilities_must_be_in_range(value):
    for name in ("dropout", "recurrent_dropout", "locked_dropout", "weight_drop"):
        for make in (char_lm, handwriting):
            refused(make, f"{name} must be at least 0 and below 1, got {value}", **{name: value})
    refused(char_lm, f"embedding_dropout must be at least 0 and below 1, got {value}", embedding_dropout=value)


def test_names_of_choices_are_checked_also_where_the_core_does_not_use_them():
    for make in (char_lm, handwriting):
        refused(make, "core must be one of hm_lstm, lstm, got 'gru'", core="gru")
        for core in ("hm_lstm", "lstm"):
            refused(make, "boundary must be one of step, bernoulli, soft, got 'hard'", core=core, boundary="hard")
            refused(make, "init must be one of uniform, orthogonal, got 'zeros'", core=core, init="zeros")


def test_a_vocabulary_that_is_none_is_refused():
    refused(char_lm, "vocabulary must be a Vocabulary, bytes or a number of symbols, got 'abc'", vocabulary="abc")
    with pytest.raises(ValueError, match="must be bytes or a list of byte values, got 1"):
        hmrnn.Vocabulary(1)
    assert char_lm(bytearray(b"abc")).vocabulary.symbols == b"abc"


def test_an_index_outside_of_the_vocabulary_is_refused():
    vocabulary = hmrnn.Vocabulary(b"abc")
    assert vocabulary.decode(torch.tensor([2, 0])) == b"ca"
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"index {index} at position 1 is outside of the vocabulary of 3 symbols"):
            vocabulary.decode(torch.tensor([0, index]))


def test_numbers_of_numpy_can_be_saved(tmp_path):
    model = char_lm(b"abc", hidden_sizes=numpy.array([4, 3]), embedding_size=numpy.int64(3), dropout=numpy.float32(0.5))
    assert model.config["hidden_sizes"] == [4, 3]
    hmrnn.save(model, tmp_path / "model.safetensors")
    assert hmrnn.load(tmp_path / "model.safetensors").config == model.config


@pytest.mark.parametrize("make", STACKS)
def test_a_window_of_another_number_of_dimensions_is_refused(make):
    model = make(5, [4, 4])
    for shape in ((5,), (3, 5), (1, 1, 3, 5)):
        with pytest.raises(ValueError, match=r"input must have shape \[T, B, input_size\], got"):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"index must have shape \[T, B\], got \[9\]"):
        model.forward_indexed(torch.zeros(7, 5), torch.zeros(9, dtype=torch.int64))


def test_a_state_of_another_number_of_layers_is_refused():
    x = torch.zeros(3, 2, 5)
    for layers in (1, 3):
        state = hmrnn.StackedLSTM(5, [4] * layers).initial_state(2)
        with pytest.raises(ValueError, match=f"state must have 2 layers, got {layers} of h and {layers} of c"):
            hmrnn.StackedLSTM(5, [4, 4])(x, state)


def test_a_mixture_of_another_shape_is_refused():
    for size in (1, 6, 8):
        with pytest.raises(ValueError, match=rf"raw must be 6M \+ 1, got \[2, {size}\]"):
            hmrnn.Mixture.read(torch.zeros(2, size))
    mixture = hmrnn.Mixture.read(torch.zeros(5, 2, 13))
    assert mixture.log_density(torch.zeros(5, 2, 3)).shape == (5, 2)
    for shape in ((2, 3), (5, 1, 3), (5, 2, 2)):
        with pytest.raises(ValueError, match=r"target must have shape \[5, 2, 3\], got"):
            mixture.log_density(torch.zeros(shape))


def test_an_example_without_steps_is_not_exported():
    for name in ("steps", "batch"):
        refused(hmrnn.export, f"{name} must be at least 1, got 0", model=char_lm(), **{name: 0})
