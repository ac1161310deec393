"""The modules: against the equations, their regularisers, their errors."""

import pytest
import torch

import hmrnn


def hard_sigmoid(x, slope):
    return ((slope * x + 1) / 2).clamp(0, 1)


def dense_step(cells, x, state, slope):
    """One step of equations 1 to 7 of the paper, with every gate computed."""
    h, c, z = [], [], []
    below, z_below = x, torch.ones(x.shape[0], dtype=x.dtype)
    for l, cell in enumerate(cells):
        d, top = cell.hidden_size, l + 1 == len(cells)
        z_before = torch.zeros_like(z_below) if top else state.z[:, l]

        def term(weight, value, norm):
            out = value @ weight.t()
            gates = norm(out[:, : 4 * d]) if norm is not None else out[:, : 4 * d]
            return torch.cat([gates, out[:, 4 * d :]], 1)

        norms = {name: getattr(cell, name, None) for name in ("recurrent_norm", "bottom_up_norm", "top_down_norm")}
        s = cell.bias + term(cell.recurrent, state.h[l], norms["recurrent_norm"])
        s = s + z_below[:, None] * term(cell.bottom_up, below, norms["bottom_up_norm"])
        if not top:
            s = s + z_before[:, None] * term(cell.top_down, state.h[l + 1], norms["top_down_norm"])
        f, i, o = (torch.sigmoid(s[:, k * d : (k + 1) * d]) for k in range(3))
        g = torch.tanh(s[:, 3 * d : 4 * d])
        flush, update = z_before, (1 - z_before) * z_below
        copy = (1 - z_before) * (1 - z_below)
        c_l = update[:, None] * (f * state.c[l] + i * g) + copy[:, None] * state.c[l] + flush[:, None] * (i * g)
        shown = cell.cell_norm(c_l) if hasattr(cell, "cell_norm") else c_l
        h_l = copy[:, None] * state.h[l] + (1 - copy)[:, None] * (o * torch.tanh(shown))
        h.append(h_l)
        c.append(c_l)
        if not top:
            z_l = (hard_sigmoid(s[:, 4 * d], slope) > 0.5).to(x.dtype)
            z.append(z_l)
            z_below = z_l
        below = h_l
    return hmrnn.HMLSTMState(h, c, torch.stack(z, 1))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_hm_lstm_is_the_equations(layer_norm):
    torch.manual_seed(3)
    model = hmrnn.HMLSTM(5, [7, 6, 4], layer_norm=layer_norm, slope=1.3).double()
    x = torch.randn(30, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        out = model(x)
    state = model.initial_state(4)
    for t in range(30):
        with torch.no_grad():
            state = dense_step(list(model.layers), x[t], state, 1.3)
        for l in range(3):
            torch.testing.assert_close(out.h[l][t], state.h[l], rtol=0, atol=1e-12)
        assert torch.equal(out.z[t], state.z)
    assert 0.05 < float(out.z.mean()) < 0.95
    for ours, theirs in zip(out.state.h + out.state.c, state.h + state.c):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_indexed_inputs_are_rows_of_the_table():
    torch.manual_seed(1)
    model = hmrnn.HMLSTM(5, [7, 6]).double()
    table = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    for shape in ((12, 3), (2, 3)):  # more inputs than rows of the table, and fewer
        index = torch.randint(9, shape)
        a = model.forward_indexed(table, index)
        b = model(table[index])
        torch.testing.assert_close(a.h[1], b.h[1])
        ga = torch.autograd.grad(a.h[1].sum(), table)[0]
        gb = torch.autograd.grad(b.h[1].sum(), table)[0]
        torch.testing.assert_close(ga, gb)


@pytest.mark.parametrize("make", [hmrnn.HMLSTM, hmrnn.StackedLSTM])
def test_windows_continue_each_other(make):
    torch.manual_seed(1)
    model = make(5, [7, 6, 4])
    x = torch.randn(20, 3, 5)
    whole = model(x)
    first = model(x[:8])
    second = model(x[8:], first.state)
    torch.testing.assert_close(torch.cat([first.h[2], second.h[2]]), whole.h[2], rtol=0, atol=1e-6)
    lengths = torch.tensor([8, 20, 3])
    masked = model(x, lengths=lengths)
    torch.testing.assert_close(masked.state.h[2][0], first.state.h[2][0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [hmrnn.HMLSTM, hmrnn.StackedLSTM])
@pytest.mark.parametrize("name", ["recurrent_dropout", "locked_dropout", "weight_drop"])
def test_regularisers_act_in_training_alone(make, name):
    torch.manual_seed(1)
    plain = make(5, [8, 8])
    model = make(5, [8, 8], **{name: 0.5})
    model.load_state_dict(plain.state_dict())
    x = torch.randn(10, 3, 5)
    expected = plain(x).shown()[-1]
    assert torch.equal(model.eval()(x).shown()[-1], expected)
    torch.manual_seed(5)
    a = model.train()(x).shown()[-1]
    torch.manual_seed(5)
    b = model(x).shown()[-1]
    c = model(x).shown()[-1]
    assert torch.equal(a, b) and not torch.equal(a, c) and not torch.equal(a, expected)
    a.sum().backward()
    with pytest.raises(ValueError, match=f"{name} must be at least 0 and below 1, got 1"):
        make(5, [8], **{name: 1})


def test_output_module_is_its_equation():
    torch.manual_seed(1)
    module = hmrnn.OutputModule([4, 3], 6, classes=5)
    h = [torch.randn(7, 2, 4), torch.randn(7, 2, 3)]
    gates = torch.sigmoid(torch.cat(h, -1) @ module.gates.t())
    expected = torch.relu(sum(gates[..., l : l + 1] * (h[l] @ w.t()) for l, w in enumerate(module.embedding.weights())))
    torch.testing.assert_close(module(h), expected)
    assert {name for name, _ in module.named_parameters()} == {
        "gates", "embedding.0", "embedding.1", "softmax.weight", "softmax.bias",
    }  # fmt: skip


def test_initialisation():
    torch.manual_seed(1)
    model = hmrnn.HMLSTM(5, [16, 16], init="orthogonal", norm_gain=0.3, forget_bias=1, boundary_bias=-2)
    cell = model.layers[0]
    block = cell.recurrent[:16]
    torch.testing.assert_close(block @ block.t(), torch.eye(16), rtol=0, atol=1e-5)
    assert torch.equal(cell.recurrent[16:32], block)
    assert float(cell.recurrent_norm.weight.max()) == pytest.approx(0.3) and float(cell.cell_norm.weight.min()) == 1
    assert cell.bias[:16].eq(1).all() and cell.bias[64] == -2 and cell.bias[16:64].eq(0).all()
    with pytest.raises(ValueError, match="init must be one of uniform, orthogonal, got 'xavier'"):
        hmrnn.HMLSTM(5, [4], init="xavier")


def test_errors_name_what_does_not_fit():
    model = hmrnn.HMLSTM(5, [4, 4])
    with pytest.raises(RuntimeError, match=r"bottom_up\[0\] must have shape \[17, 6\]"):
        model(torch.zeros(3, 2, 6))
    with pytest.raises(ValueError, match="slope must be a finite number above 0, got 0"):
        model.set_slope(0)
    with pytest.raises(ValueError, match="hidden_sizes must name at least one layer"):
        hmrnn.HMLSTM(5, [])
