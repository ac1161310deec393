"""The operators as PyTorch's compiler, exporter and autocast see them."""

import pytest
import torch
from torch.library import opcheck

import hmrnn

OPERATOR = torch.ops.hmrnn.hm_lstm.default
GATED = torch.ops.hmrnn.gated_output.default


def window(kind="step", dtype=torch.float64, sizes=(5, 4, 3), T=6, B=3, e=4, layer_norm=True):
    """Arguments of the operator: positional ones, and keywords for what the schema has defaults for."""
    torch.manual_seed(7)
    model = hmrnn.HMLSTM(e, sizes, layer_norm=layer_norm, slope=1.5).to(dtype)
    cells = list(model.layers)
    norms = [norm for cell in cells for norm in cell.norms()]
    L = len(sizes)
    index, inputs = None, torch.randn(T, B, e, dtype=dtype)
    if kind == "indexed":
        index, inputs = torch.randint(7, (T, B)), torch.randn(7, e, dtype=dtype)
    state = [torch.randn(B, d, dtype=dtype, requires_grad=True) for d in sizes]
    call = {}
    if kind == "bernoulli":
        call["noise"] = torch.rand(T, B, L - 1, dtype=dtype)
    if kind == "given":
        call["boundaries"] = torch.rand(T, B, L - 1).lt(0.4).to(dtype)
    if kind == "straight-through":
        call["boundaries"] = torch.rand(T, B, L - 1).lt(0.4).to(dtype)
        call["boundary_gradient"] = True
    if kind == "lengths":
        call["lengths"] = torch.tensor([T, 2, T - 1])
    if kind == "soft":
        call["soft"] = True
    if kind == "dropout":
        call |= {"recurrent_dropout": 0.3, "dropout_seed": torch.tensor(11)}
        call["locked_mask"] = torch.rand(B, sum(sizes), dtype=dtype).lt(0.7).to(dtype) / 0.7
    arguments = (
        inputs.requires_grad_(),
        index,
        state,
        [x.detach().clone().requires_grad_() for x in state],
        torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], dtype=dtype),
        [cell.recurrent for cell in cells],
        [cell.bottom_up for cell in cells],
        [cell.top_down for cell in cells[:-1]],
        [cell.bias for cell in cells],
        [norm.weight for norm in norms],
        [norm.bias for norm in norms],
        torch.tensor(1.5, dtype=dtype),
    )
    return arguments, call


KINDS = ("step", "indexed", "bernoulli", "given", "straight-through", "lengths", "dropout", "soft")


@pytest.mark.parametrize("kind", [*KINDS, "plain"])
def test_hm_lstm_passes_opcheck(kind):
    # Soft boundaries are unrolled over the steps.
    arguments, call = window(kind, layer_norm=kind != "plain", T=2 if kind == "soft" else 6)
    result = opcheck(OPERATOR, arguments, call)
    assert set(result.values()) == {"SUCCESS"}, result


@pytest.mark.parametrize("with_index", [True, False])
def test_gated_output_passes_opcheck(with_index):
    arguments, call = window()
    h, _, _, state_index = OPERATOR(*arguments, **call)
    h = [x.detach().requires_grad_() for x in h]
    gates = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    embedding = [torch.randn(6, x.shape[2], dtype=torch.float64, requires_grad=True) for x in h]
    result = opcheck(GATED, (h, state_index if with_index else None, gates, embedding))
    assert set(result.values()) == {"SUCCESS"}, result


def test_everything_behind_the_slope_has_a_default():
    arguments, _ = window()
    out = OPERATOR(*arguments)
    spelled = OPERATOR(*arguments, None, None, None, False, False, None, 1e-5, 0.0, None, None)
    for a, b in zip(out[0], spelled[0]):
        assert torch.equal(a, b)


def test_values_are_still_checked_where_they_are_read():
    arguments, _ = window("indexed")
    bad = list(arguments)
    bad[1] = arguments[1].clone()
    bad[1][0, 0] = 7
    with pytest.raises(RuntimeError, match=r"index must lie in \[0, 7\)"):
        OPERATOR(*bad)
    bad = list(arguments)
    bad[4] = arguments[4] + 0.5
    with pytest.raises(RuntimeError, match="z0 must be 0 or 1 everywhere"):
        OPERATOR(*bad)


def test_meta_tensors_give_shapes():
    arguments, _ = window()

    def meta(x):
        return [y.detach().to("meta") for y in x] if isinstance(x, list) else x.detach().to("meta") if x is not None else None

    h, c_n, z, state_index = OPERATOR(*map(meta, arguments))
    assert [tuple(x.shape) for x in h] == [(6, 3, 5), (6, 3, 4), (6, 3, 3)]
    assert [tuple(x.shape) for x in c_n] == [(3, 5), (3, 4), (3, 3)]
    assert tuple(z.shape) == (6, 3, 2) and tuple(state_index.shape) == (3, 6, 3) and state_index.dtype == torch.int32


def test_copied_saved_tensors_are_an_error_and_not_a_wrong_gradient():
    arguments, _ = window()
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda x: x):
        h, _, _, _ = OPERATOR(*arguments)
    with pytest.raises(RuntimeError, match="was copied, which loses it"):
        h[0].sum().backward()


def test_activation_checkpointing_gives_the_same_gradients():
    arguments, _ = window()
    weights = [arguments[0], *arguments[5]]

    def loss(*xs):
        h, c, z, _ = OPERATOR(*arguments)
        return sum(x.square().sum() for x in [*h, *c, z])

    plain = torch.autograd.grad(loss(), weights)
    again = torch.autograd.grad(torch.utils.checkpoint.checkpoint(loss, *weights, use_reentrant=False), weights)
    for a, b in zip(plain, again):
        assert torch.equal(a, b)


# ---------------------------------------------------------------- torch.compile


def train_step(model, index, state=None):
    out = model(index, state)
    return torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), index.roll(-1, 0).flatten()), out.core.z


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize(
    "options",
    [{}, {"boundary": "bernoulli"}, {"core": "lstm"}, {"locked_dropout": 0.2, "recurrent_dropout": 0.2, "weight_drop": 0.2}],
    ids=["step", "bernoulli", "lstm", "regularised"],
)
def test_a_model_compiles_without_a_graph_break(backend, options):
    if backend == "inductor" and options.get("boundary") == "bernoulli":
        pytest.skip("inductor has random numbers of its own: the two would not agree")
    if backend == "inductor" and "weight_drop" in options:
        pytest.skip("inductor has random numbers of its own: the two would not agree")
    torch.manual_seed(5)
    model = hmrnn.CharLM(20, embedding_size=6, hidden_sizes=[10, 9, 8], output_embedding_size=7, **options).double()
    compiled = torch.compile(train_step, fullgraph=True, backend=backend)
    index = torch.randint(20, (9, 4))

    def run(f, seed):
        torch.manual_seed(seed)
        model.zero_grad()
        loss, z = f(model, index)
        loss.backward()
        return loss.detach(), z.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]

    for seed in (1, 2):
        loss, z, gradients = run(train_step, seed)
        loss_c, z_c, gradients_c = run(compiled, seed)
        torch.testing.assert_close(loss_c, loss, rtol=0, atol=1e-12)
        assert torch.equal(z, z_c)
        assert len(gradients) == len(gradients_c) > 10
        for a, b in zip(gradients, gradients_c):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_one_compilation_serves_windows_of_any_length():
    torch.manual_seed(5)
    model = hmrnn.CharLM(20, embedding_size=6, hidden_sizes=[10, 9, 8], output_embedding_size=7).double()
    torch._dynamo.reset()
    compiled = torch.compile(train_step, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for T, B in ((9, 4), (13, 5), (7, 3)):
            index = torch.randint(20, (T, B))
            torch.testing.assert_close(compiled(model, index)[0], train_step(model, index)[0], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- torch.autocast


def test_autocast_rounds_the_operands_of_products_alone():
    torch.manual_seed(5)
    model = hmrnn.CharLM(20, embedding_size=16, hidden_sizes=[32, 32, 32], output_embedding_size=16).eval()
    index = torch.randint(20, (12, 4))
    with torch.no_grad():
        model.set_product_dtype(torch.bfloat16)
        rounded = model(index)
        model.set_product_dtype(None)
        exact = model(index)
        with torch.autocast("cpu", torch.bfloat16):
            out = model(index)
    for l in range(3):
        assert out.core.h[l].dtype == torch.float32
        assert torch.equal(out.core.h[l], rounded.core.h[l])
    assert torch.equal(out.core.z, rounded.core.z)
    assert not torch.equal(out.core.h[0], exact.core.h[0])
    # bfloat16 results of another operator under autocast are accepted, and gradients flow back.
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.nn.functional.linear(torch.randn(12, 4, 8), torch.randn(16, 8))
        assert x.dtype == torch.bfloat16
        core = model.core(x)
        core.h[2].sum().backward()
    assert all(p.grad is not None for p in model.core.layers[0].parameters())
    # Autocast changes nothing in float64.
    arguments, _ = window()
    with torch.autocast("cpu", torch.bfloat16):
        cast = OPERATOR(*arguments)
    for a, b in zip(cast[0], OPERATOR(*arguments)[0]):
        assert torch.equal(a, b)
