"""What gradients of a trained character model come through its boundaries.

    python examples/recipes/boundary_gradients.py MODEL TEXT [--factors 1,0.5,0.25] [--windows 8] [--batch 64] [--steps 100]

Prints the norm of the gradient of all recurrent parameters in successive windows of TEXT (plain text in the model's
vocabulary, read in --batch parts): with the detectors' weights and biases multiplied by each factor, which changes no
boundary, and with the boundaries as constants. The model is in training mode, with its dropout.
"""

import argparse
import math
import pathlib

import torch

import hmrnn


def scale_detectors(model: hmrnn.CharLM, factor: float) -> None:
    """Multiplies the detectors' pre-activations by `factor`: their signs, which decide z, stay."""
    with torch.no_grad():
        for layer in model.core.layers[:-1]:
            for parameter in (layer.recurrent, layer.bottom_up, layer.top_down, layer.bias):
                parameter[-1].mul_(factor)


def norms(model: hmrnn.CharLM, index: torch.Tensor, steps: int, constant: bool) -> list[float]:
    """Gradient norms of the windows of `index` [T, B]; `constant`: no gradient goes through z."""
    out = []
    state = None
    for window in (index[t : t + steps + 1] for t in range(0, len(index) - steps, steps)):
        call = {}
        if constant:
            generator = torch.get_rng_state()
            with torch.no_grad():
                call["boundaries"] = model(window[:-1], state).core.z
            torch.set_rng_state(generator)  # the same dropout again
        result = model(window[:-1], state, **call)
        loss = torch.nn.functional.cross_entropy(result.logits.flatten(0, 1), window[1:].flatten())
        model.zero_grad()
        loss.backward()
        gradients = [p.grad for p in model.core.parameters() if p.grad is not None]
        out.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        state = result.core.state.detach()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--factors", default="1,0.5,0.25")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    needed = arguments.windows * arguments.steps + 1
    cases = [(f"detectors times {factor}", float(factor), False) for factor in arguments.factors.split(",")]
    for name, factor, constant in [*cases, ("boundaries as constants", 1.0, True)]:
        model = hmrnn.load(arguments.model).train()
        index = model.vocabulary.encode(arguments.text.read_bytes()[: needed * arguments.batch])
        if len(index) < needed * arguments.batch:
            parser.error(f"{arguments.text}: {needed * arguments.batch} characters are needed, it has {len(index)}")
        scale_detectors(model, factor)
        torch.manual_seed(1)
        found = norms(model, index.view(arguments.batch, -1).t().contiguous(), arguments.steps, constant)
        mean = math.exp(sum(math.log(norm) for norm in found) / len(found))
        print(f"{name:24} geometric mean {mean:8.2g}   " + " ".join(f"{norm:.2g}" for norm in found), flush=True)


if __name__ == "__main__":
    main()
