"""Draws where a trained character model ends its segments, layer by layer, and how many bits each character cost it.

    python examples/python/boundaries.py MODEL "some text" --out boundaries.png

MODEL is a run of `char_lm train` or a model.safetensors. Needs matplotlib.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import hmrnn


def draw(model, text: bytes, path: str) -> None:
    z = model.segment(text)  # [characters, L-1]
    bits = model.bits(text)  # of each character but the first
    count, layers = z.shape
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(max(4, 0.16 * count), 1.6 + 0.35 * layers), height_ratios=[2, layers], layout="constrained"
    )
    top.bar(range(1, count), bits, width=0.9, color="#8a9bb5")
    top.set_ylabel("bits")
    for l in range(layers):
        begin = 0
        for end in [t for t in range(count) if z[t, l] > 0] + [count - 1]:
            # A segment begins after one boundary and ends with the character of the next.
            if end >= begin:
                bottom.barh(l, end + 1 - begin - 0.15, left=begin - 0.425, height=0.7, color=f"C{l}")
            begin = end + 1
    bottom.set_yticks(range(layers), [f"layer {l + 1}" for l in range(layers)])
    bottom.set_xticks(range(count), list(text.decode("latin-1").replace("\n", "⏎").replace(" ", "␣")), fontfamily="monospace")
    bottom.tick_params(length=0)
    bottom.set_xlim(-0.6, count - 0.4)
    for axes in (top, bottom):
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a run, or a model.safetensors")
    parser.add_argument("text", nargs="?", default="the hierarchical multiscale recurrent network")
    parser.add_argument("--out", default="boundaries.png", help="picture (default: boundaries.png)")
    arguments = parser.parse_args()
    model = hmrnn.load(arguments.model)
    text = arguments.text.encode()
    draw(model, text, arguments.out)
    print(f"{len(text)} characters, {float(model.bits(text).mean()):.2f} bits each, boundaries of each layer:",
          ", ".join(f"{float(rate):.2f}" for rate in model.segment(text).mean(0)))
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
