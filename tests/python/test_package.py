"""A trained model, exported, and compiled into a package that a C++ program runs."""

import re

import pytest
import torch
from programs import BIN, evaluate, make_text, run

import hmrnn


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    text = folder / "text"
    text.write_bytes(make_text(4000))
    run("char_lm", "train", "--corpus", text, "--out", folder / "run", "--units", 16, "--embedding", 8,
        "--output-embedding", 12, "--batch", 8, "--window", 20, "--steps", 40, "--lr", 0.01, "--threads", 1)  # fmt: skip
    return folder / "run", text


def test_an_exported_program_is_the_model_for_windows_of_any_shape(trained):
    model = hmrnn.load(trained[0]).eval()
    program = hmrnn.export(model).module()
    for T, B in ((1, 1), (23, 5)):
        index = torch.randint(len(model.vocabulary), (T, B))
        state = model.initial_state(B)
        logits, *rest = program(index, state.h, state.c, state.z)
        out = model(index, state)
        torch.testing.assert_close(logits, out.logits, rtol=1e-5, atol=1e-5)
        after = out.core.state
        for a, b in zip(rest, [*after.h, *after.c, after.z]):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_packaged_model_runs_in_cpp(trained, tmp_path):
    path, text = trained
    package = hmrnn.package(hmrnn.load(path), tmp_path / "model.pt2")
    weights = path / "best" / "model.safetensors"
    said = run("packaged", package, weights, stdin=text.open("rb")).decode()
    bits, symbols, difference = re.fullmatch(
        r"([\d.]+) bits per character of (\d+); logits differ from the checkpoint's by (\S+) at most\n", said
    ).groups()
    assert int(symbols) == 4000
    assert float(difference) < 1e-5
    assert abs(float(bits) - evaluate(weights, text)["bpc"]) < 1e-4


def test_what_cannot_be_packaged_is_refused(tmp_path):
    assert BIN.is_dir()
    with pytest.raises(ValueError, match="bernoulli boundaries cannot be exported"):
        hmrnn.export(hmrnn.CharLM(5, hidden_sizes=[4, 4], boundary="bernoulli"))
    with pytest.raises(ValueError, match=r"ends in \.pt2"):
        hmrnn.package(hmrnn.CharLM(5, hidden_sizes=[4, 4]), tmp_path / "model.so")
