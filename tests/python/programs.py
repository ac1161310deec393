"""For the tests of the Python package: runs the C++ programs, and creates texts and models for them."""

import json
import os
import random
import subprocess
from pathlib import Path

import torch

import hmrnn

BIN = Path(os.environ["HMRNN_BIN_DIR"])


def run(program, *arguments, **options):
    """Standard output of a program; the test fails if the program does."""
    # The programs must not load the libraries of this process.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "PYTHON"))}
    done = subprocess.run(
        [str(BIN / program), *map(str, arguments)], capture_output=True, env=environment, check=False, **options
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def evaluate(path, text_file):
    """The result of `char_lm eval` for a whole text."""
    return json.loads(run("char_lm", "eval", path, "--corpus", text_file, "--split", "all", "--json", "--device", "cpu"))


def make_text(length, seed=1):
    words = ["the", "model", "learns", "where", "segments", "end", "without", "labels", "a", "layer"]
    draw = random.Random(seed)
    text = ""
    while len(text) < length:
        text += draw.choice(words) + draw.choice([" ", " ", " ", ".\n"])
    return text[:length].encode()


def make_model(text, seed=0, **options):
    torch.manual_seed(seed)
    sizes = dict(hidden_sizes=[24, 20, 16], embedding_size=12, output_embedding_size=24)
    return hmrnn.CharLM(bytes(sorted(set(text))), **{**sizes, **options})
