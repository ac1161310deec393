"""How gradients grow or vanish in the backward pass of an untrained stack, for several initialisations.

    python examples/recipes/gradient_growth.py [--inputs 3] [--units 400] [--steps 400]

Prints for each the firing rates and the norm of dL/dx, its mean over rows and ten steps, at 20, 70, 120, … steps before
the end. The loss sums over the last 20 steps.
"""

import argparse

import torch

import hmrnn

SETTINGS = [
    ("gain 1", dict()),
    ("gain 0.3", dict(norm_gain=0.3)),
    ("gain 0.1", dict(norm_gain=0.1)),
    ("gain 0.1, forget bias 1", dict(norm_gain=0.1, forget_bias=1.0)),
    ("gain 0.3, all fire", dict(norm_gain=0.3, boundary_bias=1.0)),
    ("gain 0.1, forget bias 1, all fire", dict(norm_gain=0.1, forget_bias=1.0, boundary_bias=1.0)),
    ("gain 0.3, none fires", dict(norm_gain=0.3, boundary_bias=-1.0)),
    ("no layer norm", dict(layer_norm=False)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=3)
    parser.add_argument("--units", type=int, default=400)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name, options in SETTINGS:
        for seed in range(1, arguments.seeds + 1):
            torch.manual_seed(seed)
            model = hmrnn.HMLSTM(arguments.inputs, [arguments.units] * 3, **options)
            x = torch.randn(arguments.steps, 6, arguments.inputs, requires_grad=True)
            out = model(x)
            sum((h[-20:] * torch.randn_like(h[-20:])).sum() / 20 for h in out.h).backward()
            norm = x.grad.norm(dim=2).mean(1)
            back = [norm[t - 10 : t].mean() for t in range(arguments.steps - 20, 10, -50)]
            rates = ", ".join(f"{rate:.2f}" for rate in out.z.detach().mean((0, 1)))
            print(f"{name:34} seed {seed}  z fires {rates}  " + " ".join(f"{float(g):.1e}" for g in back), flush=True)


if __name__ == "__main__":
    main()
