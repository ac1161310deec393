"""The models of the Python package against the C++ programs, in both directions."""

import json

import pytest
import torch
from safetensors.torch import load_file

import hmrnn
from programs import evaluate, make_model, make_text, run

CORES = [dict(), dict(layer_norm=False), dict(boundary="bernoulli"), dict(boundary="soft"), dict(core="lstm")]


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(make_text(3000))
    return path


@pytest.mark.parametrize("options", CORES, ids=str)
def test_bits_are_those_of_eval(tmp_path, text_file, options):
    if options.get("boundary") == "bernoulli":
        pytest.skip("the two draw their noise in other orders")
    text = text_file.read_bytes()
    model = make_model(text, slope=1.5, **options)
    hmrnn.save(model, tmp_path / "model.safetensors")
    bits = model.bits(text)
    expected = evaluate(tmp_path / "model.safetensors", text_file)
    assert len(bits) == expected["characters"] == len(text) - 1
    assert float(bits.mean()) == pytest.approx(expected["bpc"], abs=1e-6)


def test_boundaries_are_those_of_segment(tmp_path, text_file):
    text = text_file.read_bytes()
    model = make_model(text, layer_norm=False)  # see test_samples_are_those_of_sample
    hmrnn.save(model, tmp_path / "model.safetensors")
    z = model.segment(text)
    assert 0.02 < float(z[:, 0].mean()) < 0.98  # z is neither always 0 nor always 1
    lines = run("char_lm", "segment", tmp_path / "model.safetensors", "--json", "--device", "cpu", input=text)
    found = [json.loads(line) for line in lines.splitlines()]
    for layer in range(2):
        begin = 0
        for line in found:
            values = torch.tensor(line["z"][layer], dtype=z.dtype)
            assert torch.equal(z[begin : begin + len(values), layer], values)
            # The line end is read, but not shown.
            begin += len(line["text"].encode())
            begin += text[begin : begin + 1] == b"\n" and not line["text"].endswith("\n")
        assert begin == len(text)


@pytest.mark.parametrize("temperature", [1, 0.5, 0])
@pytest.mark.parametrize("options", [dict(), dict(core="lstm"), dict(boundary="bernoulli")], ids=str)
def test_samples_are_those_of_sample(tmp_path, text_file, options, temperature):
    text = text_file.read_bytes()
    # The program reads symbol by symbol, this package in windows. In an untrained model of a few units, layer norm
    # magnifies the rounding until a boundary differs.
    model = make_model(text, layer_norm=False, **options)
    hmrnn.save(model, tmp_path / "model.safetensors")
    for prime in (b"", b"the "):
        expected = run(
            "char_lm", "sample", tmp_path / "model.safetensors", "--length", 200, "--seed", 7, "--prime", prime.decode(),
            "--temperature", temperature, "--device", "cpu",
        )  # fmt: skip
        assert prime + model.sample(200, prime, temperature=temperature, seed=7) + b"\n" == expected


@pytest.mark.parametrize("core", ["hm_lstm", "lstm"])
def test_a_model_of_the_program_is_read(tmp_path, text_file, core):
    run(
        "char_lm", "train", "--corpus", text_file, "--out", tmp_path / "run", "--core", core, "--units", "20,16,12",
        "--embedding", 8, "--output-embedding", 16, "--batch", 4, "--window", 20, "--steps", 20, "--slope-rate", 0.5,
        "--device", "cpu",
    )  # fmt: skip
    model = hmrnn.load(tmp_path / "run")
    assert isinstance(model, hmrnn.CharLM) and not model.training
    assert model.step > 0 and model.corpus["name"] == str(text_file)
    expected = evaluate(tmp_path / "run", text_file)
    assert float(model.bits(text_file.read_bytes()).mean()) == pytest.approx(expected["bpc"], abs=1e-6)
    # Saved and loaded again, the model is the same.
    hmrnn.save(model, tmp_path / "again.safetensors")
    assert evaluate(tmp_path / "again.safetensors", text_file) == expected


def test_a_vocabulary_that_init_from_extended_keeps_its_order(tmp_path):
    model = make_model(b"no yes ")  # z is missing, and so is a, which sorts before all others
    hmrnn.save(model, tmp_path / "first.safetensors")
    file = tmp_path / "text.txt"
    file.write_bytes(make_text(3000).replace(b"the", b"zany"))
    run(
        "char_lm", "train", "--corpus", file, "--init-from", tmp_path / "first.safetensors", "--out", tmp_path / "run",
        "--batch", 4, "--window", 20, "--steps", 3, "--device", "cpu",
    )  # fmt: skip
    grown = hmrnn.load(tmp_path / "run")
    symbols = model.vocabulary.symbols
    assert grown.vocabulary.symbols[: len(symbols)] == symbols
    assert grown.vocabulary.symbols != bytes(sorted(grown.vocabulary.symbols))
    expected = evaluate(tmp_path / "run", file)
    assert float(grown.bits(file.read_bytes()).mean()) == pytest.approx(expected["bpc"], abs=1e-6)
    hmrnn.save(grown, tmp_path / "again.safetensors")
    assert evaluate(tmp_path / "again.safetensors", file) == expected


@pytest.mark.parametrize("symbols", [b"", b"aba"])
def test_a_vocabulary_without_symbols_or_with_one_twice_is_refused(symbols):
    with pytest.raises(ValueError, match="each once"):
        hmrnn.CharLM(symbols)


def test_sampling_leaves_the_model_in_training():
    model = make_model(make_text(100), dropout=0.5).train()
    model.sample(3)
    next(model.stream())
    assert model.training


def clip(parameters, limit):
    norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in parameters)).float()
    for p in parameters:
        p.grad /= (norm / limit).clamp_min(1)


def train_in_both(tmp_path, steps, limit, options):
    """Weights before, and after `steps` updates in Python and by `train`. Both have the same number of threads, so that
    LibTorch's products are summed in the same order: Adam turns the last bit of a gradient of 1e-8 into over 1e-6."""
    batch, window, rate = 4, 25, 0.002
    text = make_text(4000, seed=2)
    file = tmp_path / "text.txt"
    file.write_bytes(text)
    model = make_model(text, norm_gain=0.3, **options)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    hmrnn.save(model, tmp_path / "first.safetensors")
    run(
        "char_lm", "train", "--corpus", file, "--init-from", tmp_path / "first.safetensors", "--out", tmp_path / "run",
        "--batch", batch, "--window", window, "--steps", steps, "--lr", rate, "--clip", limit, "--schedule", "constant",
        "--device", "cpu", "--threads", torch.get_num_threads(),
    )  # fmt: skip
    theirs = hmrnn.load(tmp_path / "run" / "last" / "model.safetensors").state_dict()

    index = model.vocabulary.encode(text[: len(text) * 90 // 100])
    each = (len(index) - 1) // batch // window * window
    parameters = list(model.parameters())
    adam = torch.optim.Adam(parameters, lr=rate, fused=True)
    state = None
    model.train()
    for step in range(steps):
        begin = [b * each + step * window for b in range(batch)]
        inputs = torch.stack([index[i : i + window] for i in begin], 1)
        targets = torch.stack([index[i + 1 : i + 1 + window] for i in begin], 1)
        out = model(inputs, state)
        state = out.core.state.detach()
        adam.zero_grad()
        # The operator of `train`; C++ tests compare it with torch.nn.functional.cross_entropy.
        logits = out.logits.flatten(0, 1)
        logits.backward(torch.ops.hmrnn._cross_entropy(logits.detach(), targets.flatten(), None, True)[1])
        if limit > 0:
            clip(parameters, limit)
        adam.step()
    return first, model.state_dict(), theirs


def largest_difference(a, b):
    assert list(a) == list(b)
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("options", [dict(), dict(core="lstm")], ids=str)
def test_ten_steps_of_training_are_those_of_train(tmp_path, options):
    first, ours, theirs = train_in_both(tmp_path, 10, 0, options)
    assert largest_difference(ours, theirs) < 1e-6
    assert largest_difference(ours, first) > 0.01


def test_clipping_is_that_of_train(tmp_path):
    (tmp_path / "clipped").mkdir()
    (tmp_path / "free").mkdir()
    _, ours, theirs = train_in_both(tmp_path / "clipped", 3, 0.01, {})
    _, free, _ = train_in_both(tmp_path / "free", 3, 0, {})
    assert largest_difference(ours, theirs) < 1e-6  # norms are summed in another order
    assert largest_difference(ours, free) > 1e-4


@pytest.mark.parametrize("layer_norm", ["on", "off"])
def test_handwriting(tmp_path, layer_norm):
    run("handwriting", "synthesize", "--out", tmp_path / "ink", "--lines", 30)
    run(
        "handwriting", "train", "--data-dir", tmp_path / "ink", "--split", "lines", "--out", tmp_path / "run",
        "--units", "16,12,8", "--output-embedding", 12, "--mixtures", 3, "--batch", 4, "--window", 50, "--steps", 5,
        "--min-points", 20, "--layer-norm", layer_norm, "--device", "cpu",
    )  # fmt: skip
    model = hmrnn.load(tmp_path / "run").eval()
    assert isinstance(model, hmrnn.HandwritingModel)
    shown = json.loads(run("handwriting", "eval", tmp_path / "run", "--json", "--export", tmp_path / "mix.safetensors",
                           "--device", "cpu"))  # fmt: skip
    assert shown["normalisation"] == model.normalisation
    hmrnn.save(model, tmp_path / "again.safetensors")
    again = json.loads(run("handwriting", "eval", tmp_path / "again.safetensors", "--data-dir", tmp_path / "ink",
                           "--json", "--device", "cpu"))  # fmt: skip
    assert again["log_likelihood"] == pytest.approx(shown["log_likelihood"], abs=1e-9)

    # The program's mixtures of every point are those of this model, and so is their likelihood.
    theirs = load_file(tmp_path / "mix.safetensors")
    mean, deviation = (torch.tensor(model.normalisation[name]) for name in ("mean", "deviation"))
    first = torch.cat([-mean / deviation, torch.zeros(1)])  # an offset of (0, 0), pen down
    total = 0.0
    for line in range(shown["sequences"]):
        rows = theirs["sequence"] == line
        target = theirs["target"][rows]
        with torch.no_grad():
            mixture = model(torch.cat([first[None], target[:-1]]).unsqueeze(1)).mixture
        ours = {
            "weight": mixture.log_weight.exp(),
            "mean": torch.stack([mixture.mean_x, mixture.mean_y], -1),
            "deviation": torch.stack([mixture.log_deviation_x, mixture.log_deviation_y], -1).exp(),
            "correlation": mixture.correlation,
            "pen_up": torch.sigmoid(mixture.pen_logit),
        }
        for name, value in ours.items():
            assert torch.allclose(value[:, 0], theirs[name][rows], rtol=1e-4, atol=1e-5), name
        total += float(mixture.log_density(target.unsqueeze(1)).sum())
    assert total / shown["sequences"] == pytest.approx(shown["log_likelihood"], rel=1e-5)


def test_mixture_integrates_to_one():
    torch.manual_seed(1)
    mixture = hmrnn.Mixture.read(torch.randn(6 * 4 + 1).double() * 0.7)
    axis = torch.linspace(-60, 60, 1201, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    total = 0.0
    for pen in (0.0, 1.0):
        points = torch.stack([x, y, torch.full_like(x, pen)], -1)
        spread = hmrnn.Mixture(*(t.expand(*x.shape, *t.shape) for t in mixture))
        total += float(spread.log_density(points).exp().sum()) * 0.1**2
    assert total == pytest.approx(1, abs=1e-6)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        hmrnn.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no model"):
        hmrnn.load(tmp_path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no model of this project"):
        hmrnn.load(tmp_path / "other.safetensors")
    model = make_model(b"abc")
    hmrnn.save(model, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="float32"):
        hmrnn.save(model.double(), tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == before
    with pytest.raises(ValueError, match="byte 0x64 at position 2"):
        model.bits("abd")
