"""Checkpoints that the programs refuse are refused by hmrnn.load too; every file that they write is read."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import hmrnn
from programs import BIN, make_model, make_text, run

PRETRAINED = Path(__file__).parents[2] / "examples" / "pretrained" / "text8.safetensors"


def handwriting():
    torch.manual_seed(0)
    return hmrnn.HandwritingModel(hidden_sizes=[6, 5], output_embedding_size=4, mixtures=2)


MODELS = {"char_lm": lambda: make_model(b"no yes "), "handwriting": handwriting}


def contents(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["hmrnn"]), {name: file.get_tensor(name) for name in file.keys()}


def changed(tmp_path, kind, change):
    """A model's file after ``change(metadata, tensors)``. A change may return other text than that of the metadata."""
    hmrnn.save(MODELS[kind](), tmp_path / "original.safetensors")
    about, tensors = contents(tmp_path / "original.safetensors")
    text = change(about, tensors)
    path = tmp_path / "changed.safetensors"
    save_file(tensors, path, metadata={"hmrnn": json.dumps(about) if text is None else text})
    return path


def refused_by_the_program(kind, path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "PYTHON"))}
    out = path.with_name("export.safetensors")
    command = [str(BIN / kind), "export", str(path), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    out.unlink(missing_ok=True)
    return done.returncode == 2 and str(path).encode() in done.stderr


def put(**entries):
    return lambda about, tensors: about.update(entries)


def drop(name):
    def change(about, tensors):
        del about[name]

    return change


def fill(name, value):
    def change(about, tensors):
        tensors[name][0] = value

    return change


def cast(name, dtype):
    def change(about, tensors):
        tensors[name] = tensors[name].to(dtype)

    return change


def without_tensor(name):
    def change(about, tensors):
        del tensors[name]

    return change


BOTH = [
    (put(cell_clip=3.0), r'the metadata have the entry "cell_clip", which this version does not know'),
    (put(boundaries=""), r'the metadata have the entry "boundaries", which this version does not know'),
    (fill("hm_lstm.layers.0.bias", float("nan")), "tensor hm_lstm.layers.0.bias has values that are not finite"),
    (fill("output.gates", float("inf")), "tensor output.gates has values that are not finite"),
    (cast("output.gates", torch.float64), "tensor output.gates is torch.float64, not float32, float16 or bfloat16"),
    (without_tensor("hm_lstm.layers.1.recurrent"), "tensor hm_lstm.layers.1.recurrent is missing"),
    (without_tensor("output.gates"), 'Missing key.* "output.gates"'),
    (put(hidden_sizes=[10**15] * 3), "layer size 1000000000000000 of its metadata"),
    (put(output_embedding_size=10**15), "output embedding size 1000000000000000 of its metadata"),
    (put(hidden_sizes=[]), "hidden_sizes must name at least one layer"),
    (put(slope=0), "slope must be a finite number above 0, got 0"),
    (put(slope="1"), 'malformed metadata: slope is "1", not a number'),
    (put(slope=True), "malformed metadata: slope is true, not a number"),
    (drop("slope"), "malformed metadata: slope is missing"),
    (drop("layer_norm"), "malformed metadata: layer_norm is missing"),
    (drop("core"), "malformed metadata: core is missing"),
    (put(layer_norm=1), "malformed metadata: layer_norm is 1, not true or false"),
    (put(hidden_sizes=3), "malformed metadata: hidden_sizes is 3, not a list"),
    (put(core="gru"), "core must be one of hm_lstm, lstm, got 'gru'"),
    (put(boundary="hard"), "boundary must be one of step, bernoulli, soft, got 'hard'"),
    (put(init="zeros"), "init must be one of uniform, orthogonal, got 'zeros'"),
    (put(weight_drop=1), "weight_drop must be at least 0 and below 1, got 1"),
    (put(norm_gain=None), "malformed metadata: norm_gain is null, not a number"),
    (put(step="9"), 'malformed metadata: step is "9", not a whole number'),
    (put(format=2), 'unknown format 2 of kind "'),
    (put(kind="speech"), 'unknown format 1 of kind "speech"'),
    (put(corpus={}), "malformed metadata: corpus: name is missing"),
    (put(validation_loss=float("nan")), "the metadata under the key hmrnn are not a JSON object"),
    (lambda about, tensors: "{", "the metadata under the key hmrnn are not a JSON object"),
    (lambda about, tensors: "[1]", "the metadata under the key hmrnn are not a JSON object"),
    (lambda about, tensors: "[" * 100_000, "the metadata under the key hmrnn are not a JSON object"),
]
OF_CHAR_LM = [
    (put(mixtures=3), 'the metadata have the entry "mixtures", which this version does not know'),
    (put(vocabulary=[1, 300, 2, 3, 4, 5]), "vocabulary has 300, which is not a byte value"),
    (put(vocabulary=6), "malformed metadata: vocabulary is 6, not a list"),
    (put(vocabulary=[1, 2]), r"embedding.weight has shape \[6, 12\], which does not fit the vocabulary of size 2"),
    (put(embedding_size=10**15), "embedding size 1000000000000000 of its metadata"),
    (put(embedding_dropout=-1), "embedding_dropout must be at least 0 and below 1, got -1"),
]
OF_HANDWRITING = [
    (put(embedding_dropout=0.0), 'the metadata have the entry "embedding_dropout", which this version does not know'),
    (put(boundaries="spaces"), 'the metadata have the entry "boundaries", which this version does not know'),
    (put(mixtures=10**15), "mixture's number of outputs 6000000000000001 of its metadata"),
    (put(mixtures=0), "mixture's number of outputs 1 of its metadata"),
    (drop("normalisation"), "malformed metadata: normalisation is missing"),
    (drop("corpus"), "malformed metadata: corpus is missing"),
    (put(corpus={"name": "iam"}), "malformed metadata: corpus: split is missing"),
    (put(normalisation={}), "coordinates must be one of offsets, absolute, got None"),
    (
        put(normalisation={"coordinates": "offsets", "mean": [0.0], "deviation": [1.0, 1.0]}),
        r"normalisation: mean must be two numbers, got \[0.0\]",
    ),
    (
        put(normalisation={"coordinates": "offsets", "mean": [0.0, 0.0], "deviation": [1.0, 0.0]}),
        "normalisation: deviation must be a finite number above 0, got 0.0",
    ),
]
CASES = [(kind, *case) for kind in MODELS for case in BOTH]
CASES += [("char_lm", *case) for case in OF_CHAR_LM] + [("handwriting", *case) for case in OF_HANDWRITING]


@pytest.mark.parametrize("kind, change, message", CASES, ids=[f"{kind}-{message[:50]}" for kind, _, message in CASES])
def test_what_the_programs_refuse_is_refused(tmp_path, kind, change, message):
    path = changed(tmp_path, kind, change)
    with pytest.raises(ValueError, match=message) as error:
        hmrnn.load(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    assert refused_by_the_program(kind, path)


def test_an_unchanged_file_is_accepted(tmp_path):
    for kind in MODELS:
        path = changed(tmp_path, kind, put(epoch=3, validation_loss=None))
        assert hmrnn.load(path).step == 0
        assert not refused_by_the_program(kind, path)


def test_a_checkpoint_from_before_some_options_is_accepted(tmp_path):
    later = ("init", "norm_gain", "recurrent_dropout", "locked_dropout", "weight_drop", "step")

    def older(about, tensors):
        for name in (*later, *(("embedding_dropout", "corpus") if about["kind"] == "char_lm" else ())):
            del about[name]

    for kind in MODELS:
        path = changed(tmp_path, kind, older)
        expected = MODELS[kind]().config
        assert hmrnn.load(path).config == expected
        assert not refused_by_the_program(kind, path)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not a safetensors file: only 0 bytes long"),
        (b"a text", "not a safetensors file: only 6 bytes long"),
        (PRETRAINED.read_bytes()[:1000000], "offsets|data|bytes"),
    ],
    ids=["empty", "text", "half"],
)
def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path, data, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        hmrnn.load(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert str(error.value).count(str(path)) == 1


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not a regular file"):
        hmrnn.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("kind", MODELS)
def test_a_flipped_bit_is_refused(tmp_path, kind):
    path = tmp_path / "model.safetensors"
    hmrnn.save(MODELS[kind](), path)  # with checksums
    hmrnn.load(path)
    whole = bytearray(path.read_bytes())
    header = int.from_bytes(whole[:8], "little")
    slope = whole.index(b"slope")
    for at in (len(whole) - 3, 8 + header + 1, slope + 9):  # in the last tensor, in the first, in the metadata
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum|damaged") as error:
            hmrnn.load(path)
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
        assert refused_by_the_program(kind, path)


def test_the_bundled_model_is_accepted():
    assert len(hmrnn.load(PRETRAINED).vocabulary) == 27


TEXT_RUNS = {
    "default": [],
    "control": ["--core", "lstm", "--layer-norm", "off"],
    "options": [
        "--boundary", "bernoulli", "--forget-bias", 1, "--boundary-bias", 0.5, "--init", "orthogonal",
        "--norm-gain", 0.3, "--dropout", 0.1, "--recurrent-dropout", 0.1, "--locked-dropout", 0.1,
        "--weight-drop", 0.1, "--embedding-dropout", 0.1, "--ema", 0.9, "--slope-rate", 0.5, "--target-rate", 0.3,
        "--keep", 1, "--checkpoint-every", 2,
    ],
}  # fmt: skip


def accepted(folder, program):
    """Loads every model in the folder of a run, and both exports of the run."""
    for dtype in ("float32", "bfloat16"):
        run(program, "export", folder, "--out", folder / f"{dtype}.safetensors", "--dtype", dtype)
    models = sorted(folder.rglob("model.safetensors")) + sorted(folder.glob("*.safetensors"))
    for path in models:
        hmrnn.load(path)
    return [str(path.relative_to(folder)) for path in models]


@pytest.mark.parametrize("name", TEXT_RUNS)
def test_every_model_of_char_lm_is_accepted(tmp_path, name):
    text = tmp_path / "text"
    text.write_bytes(make_text(4000))
    corpora = {
        "default": ["--corpus", text, "--valid-file", text, "--test-file", text],
        "control": ["--corpus", f"{text},{text}"],
        "options": ["--corpus", "synthetic", "--synthetic-length", 4000],
    }
    run(
        "char_lm", "train", *corpora[name], "--out", tmp_path / "run", "--units", "8,6", "--embedding", 4,
        "--output-embedding", 6, "--batch", 4, "--window", 20, "--steps", 4, "--eval-every", 2, "--eval-streams", 2,
        "--device", "cpu", "--threads", 1, *TEXT_RUNS[name],
    )  # fmt: skip
    found = accepted(tmp_path / "run", "char_lm")
    assert {"best/model.safetensors", "last/model.safetensors"} <= set(found)
    assert name != "options" or {"best_ema/model.safetensors", "kept/00000004/model.safetensors"} <= set(found)


INK_RUNS = [[], ["--core", "lstm", "--coordinates", "absolute"], ["--layer-norm", "on"]]


@pytest.mark.parametrize("options", INK_RUNS, ids=str)
def test_every_model_of_handwriting_is_accepted(tmp_path, options):
    run(
        "handwriting", "train", "--corpus", "synthetic", "--synthetic-lines", 30, "--out", tmp_path / "run", "--units",
        "8,6", "--output-embedding", 6, "--mixtures", 2, "--batch", 4, "--window", 50, "--steps", 4, "--eval-every", 2,
        "--min-points", 20, "--ema", 0.9, "--device", "cpu", "--threads", 1, *options,
    )  # fmt: skip
    found = accepted(tmp_path / "run", "handwriting")
    assert {"best/model.safetensors", "best_ema/model.safetensors", "last/model.safetensors"} <= set(found)


def set_to(name, value):
    return lambda model: setattr(model, name, value)


@torch.no_grad()
def overflow(model):
    model.output.gates[0, 0] = float("inf")


@pytest.mark.parametrize(
    "kind, change, message",
    [
        ("char_lm", overflow, "tensor output.gates has values that are not finite"),
        ("char_lm", set_to("corpus", {"text": 1}), "malformed metadata: corpus: name is missing"),
        ("char_lm", set_to("corpus", {"name": "text", "rate": float("nan")}), "not JSON compliant"),
        ("char_lm", set_to("step", 0.5), "malformed metadata: step is 0.5, not a whole number"),
        ("handwriting", set_to("normalisation", {}), "coordinates must be one of offsets, absolute, got None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_load_refuses_is_not_saved(tmp_path, kind, change, message):
    path = tmp_path / "model.safetensors"
    hmrnn.save(MODELS[kind](), path)
    before = path.read_bytes()
    model = MODELS[kind]()
    change(model)
    with pytest.raises(ValueError, match=message):
        hmrnn.save(model, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_save_that_fails_leaves_no_partial_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        hmrnn.save(MODELS["char_lm"](), tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
