"""Trains a boundary model on a series of shapes of several lengths. The data do not mark the ends of the shapes: the
model learns to predict the next value, and the boundaries of its first layer are then compared with the ends.

    python examples/python/series.py [--steps 800] [--out series.png]
"""

import argparse
import math

import torch

import hmrnn

RATE = 0.1  # target firing rate, reached by a cost that adapts, and far from it by the detector's bias


def make_shapes(generator: torch.Generator) -> list[torch.Tensor]:
    """Five smooth curves of 7 to 15 values."""
    shapes = []
    for length in (7, 9, 11, 13, 15):
        angles = torch.linspace(0, torch.pi, length)
        waves = torch.randn(4, generator=generator)
        shapes.append(sum(w * torch.sin((k + 1) * angles) for k, w in enumerate(waves)))
    return shapes


def make_series(shapes: list[torch.Tensor], rows: int, length: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Values [length, rows] and marks [length, rows] of the ends of shapes."""
    values, ends = torch.zeros(length, rows), torch.zeros(length, rows)
    for row in range(rows):
        t = 0
        while t < length:
            shape = shapes[int(torch.randint(len(shapes), (1,), generator=generator))][: length - t]
            values[t : t + len(shape), row] = shape
            t += len(shape)
            ends[t - 1, row] = 1
    return values + 0.02 * torch.randn(values.shape, generator=generator), ends


class Predictor(torch.nn.Module):
    def __init__(self, units: int = 48) -> None:
        super().__init__()
        # Layer norm would hide the size of a single input.
        self.core = hmrnn.HMLSTM(1, [units, units], layer_norm=False, forget_bias=1.0)
        self.output = hmrnn.OutputModule([units, units], units, classes=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.core(x)
        return self.output.softmax(self.output(out.h, out.state_index)), out.z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="updates")
    parser.add_argument("--out", help="draw a row with its boundaries into this file (needs matplotlib)")
    arguments = parser.parse_args()
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    shapes = make_shapes(generator)
    model = Predictor()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    cost = 0.0
    for step in range(1, arguments.steps + 1):
        values, _ = make_series(shapes, 16, 101, generator)
        predicted, z = model(values[:-1, :, None])
        error = torch.nn.functional.mse_loss(predicted[..., 0], values[1:])
        rate = z.mean()
        off = math.log(float(rate.detach()) + 1e-3) - math.log(RATE)
        cost += 0.001 * max(-1.0, min(off, 1.0))
        adam.zero_grad()
        (error + cost * rate).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        if abs(off) > math.log(3):  # the detector may be where it has no gradient
            with torch.no_grad():
                model.core.layers[0].bias[-1] -= math.copysign(0.01, off)
        if step % 50 == 0:
            print(f"step {step}  squared error {error:.4f}  boundaries {rate:.3f}")

    values, ends = make_series(shapes, 8, 400, generator)
    with torch.no_grad():
        z = model(values[:, :, None])[1][..., 0]
    # A boundary within one step of an end counts.
    near = torch.nn.functional.max_pool1d(z.t()[:, None], 3, stride=1, padding=1)[:, 0].t()
    near_end = torch.nn.functional.max_pool1d(ends.t()[:, None], 3, stride=1, padding=1)[:, 0].t()
    print(
        f"layer 1 ends a segment at {z.mean():.1%} of the steps. Of the ends of shapes {near[ends.bool()].mean():.1%} have a "
        f"boundary next to them (of all steps {near.mean():.1%}); of the boundaries {near_end[z.bool()].mean():.1%} are next "
        f"to an end (of all steps {near_end.mean():.1%})"
    )
    if arguments.out:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(10, 2.5), constrained_layout=True)
        axes.plot(values[:200, 0], color="black", linewidth=1)
        for t in z[:200, 0].nonzero().flatten().tolist():
            axes.axvline(t, color="tab:blue", alpha=0.4)
        for t in ends[:200, 0].nonzero().flatten().tolist():
            axes.plot([t], [1.25], marker="v", color="tab:red")
        axes.set(xlabel="step", ylabel="value", title="blue: boundaries of layer 1; red: ends of the shapes")
        figure.savefig(arguments.out, dpi=120)
        print(f"drawn into {arguments.out}")


if __name__ == "__main__":
    main()
