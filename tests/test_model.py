"""The Transformer: attention equals the sum as it is written down, sees what it may see, and trains all that it has."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from preludio import checkpoint
from preludio.checkpoint import SIZES, Checkpoint, ModelConfig, array_shapes
from preludio.tokens import VOCAB_SIZE

pytest.importorskip("torch")

import torch

from preludio.model import Transformer, fused, relative_attention, tables
from preludio.model import attention as attention_module
from preludio.model import transformer as transformer_module

TINY = ModelConfig(d_model=16, n_heads=2, n_layers=2, d_ff=32, window=7)
BLOCK = attention_module.QUERY_BLOCK


pytestmark = pytest.mark.usefixtures("one_thread")


def random_model(config: ModelConfig = TINY, dtype: torch.dtype = torch.float64, seed: int = 0) -> Transformer:
    """Weights large enough that every term moves the logits; float64, so that equal means equal."""
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in array_shapes(config).items()}
    return Transformer.from_checkpoint(Checkpoint(config, arrays, {})).to(dtype)


def random_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, VOCAB_SIZE, shape))


def logits(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        answer: torch.Tensor = model(ids)
    return answer


# Attention is the sum as it is written down


def one_block(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, relative: torch.Tensor, window: int) -> torch.Tensor:
    """The last n positions (the queries) against all m (the keys), in one block."""
    block = attention_module.Block(k.shape[2] - q.shape[2], k.shape[2], 0, window)
    return attention_module.weights(block, q * q.shape[-1] ** -0.5, k, relative) @ v


def attention_as_written(
    q: list[list[float]], k: list[list[float]], v: list[list[float]], relative: list[list[float]], window: int
) -> list[list[float]]:
    """One head. The queries are the last of the positions that the keys stand at."""
    earlier = len(k) - len(q)
    mixed = []
    for i, query in enumerate(q):
        scores = {}
        for j, key in enumerate(k):
            distance = earlier + i - j
            if 0 <= distance < window:
                scores[j] = sum(a * (b + c) for a, b, c in zip(query, key, relative[distance], strict=True)) / math.sqrt(len(query))
        weights = {j: math.exp(score) for j, score in scores.items()}
        total = sum(weights.values())
        mixed.append([sum(weight * v[j][n] for j, weight in weights.items()) / total for n in range(len(v[0]))])
    return mixed


def assert_as_written(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, relative: torch.Tensor, window: int, ours: torch.Tensor) -> None:
    """All heads of all sequences."""
    assert ours.shape == q.shape
    for batch in range(q.shape[0]):
        for head in range(q.shape[1]):
            table = relative[head] if relative.ndim == 3 else relative
            expected = attention_as_written(
                q[batch, head].tolist(), k[batch, head].tolist(), v[batch, head].tolist(), table.tolist(), window
            )
            torch.testing.assert_close(ours[batch, head], torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10)


def random_attention(n: int, m: int, window: int, per_head: bool, d_head: int = 3) -> list[torch.Tensor]:
    """q of n positions, k and v of m, a table; 2 sequences of 2 heads."""
    generator = torch.Generator().manual_seed(n * 1000 + m)
    shapes = [(2, 2, n, d_head), (2, 2, m, d_head), (2, 2, m, d_head), (2, window, d_head) if per_head else (window, d_head)]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize(
    ("time", "window"),
    [(1, 1), (1, 5), (2, 1), (2, 2), (5, 5), (6, 5), (4, 5), (10, 5), (11, 5), (12, 5), (37, 5), (17, 100), (13, 1), (31, 16), (33, 16)],
)
def test_attention_is_the_sum_as_it_is_written(time: int, window: int, per_head: bool) -> None:
    """One position; shorter than, equal to and longer than the window and twice the window; odd sizes."""
    q, k, v, relative = random_attention(time, time, window, per_head)
    assert_as_written(q, k, v, relative, window, relative_attention(q, k, v, relative, window))


@pytest.mark.parametrize("block", [1, 2, 3, 8, 11])
@pytest.mark.parametrize(("time", "window"), [(1, 4), (7, 4), (8, 4), (9, 4), (16, 4), (17, 40), (25, 9), (24, 8)])
def test_blocks_of_any_size_are_the_same_sum(monkeypatch: pytest.MonkeyPatch, block: int, time: int, window: int) -> None:
    monkeypatch.setattr(attention_module, "QUERY_BLOCK", block)
    q, k, v, relative = random_attention(time, time, window, per_head=True)
    assert_as_written(q, k, v, relative, window, relative_attention(q, k, v, relative, window))


@pytest.mark.parametrize("time", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1])
@pytest.mark.parametrize("window", [9, BLOCK - 1, BLOCK, BLOCK + 1, 2048])
def test_blocks_of_the_real_size_are_the_same_sum(time: int, window: int) -> None:
    """Against one block of everything, which the tests above hold to the sum as written."""
    q, k, v, relative = random_attention(time, time, window, per_head=False)
    whole = one_block(q, k, v, relative, window)
    torch.testing.assert_close(relative_attention(q, k, v, relative, window), whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "window"), [(1, 1, 1), (1, 6, 6), (1, 6, 4), (1, 6, 9), (2, 7, 7), (3, 7, 4), (5, 7, 2), (5, 11, 30), (7, 7, 3), (4, 19, 5)]
)
def test_fewer_queries_than_keys_are_the_last_ones(n: int, m: int, window: int, per_head: bool) -> None:
    """Skewing that holds only for equal lengths is the classic fault (FACTS.md section 3)."""
    q, k, v, relative = random_attention(n, m, window, per_head)
    assert_as_written(q, k, v, relative, window, one_block(q, k, v, relative, window))


def test_skewing_moves_each_distance_to_its_key() -> None:
    n, m = 3, 5
    by_distance = torch.tensor([[10.0 * r + m - 1 - c for c in range(n + m)] for r in range(n)])  # entry: 10 x query + distance
    by_key = attention_module.skewed(by_distance, m)
    for r in range(n):
        for j in range(m - n + r + 1):  # the keys that query r may see
            assert by_key[r, j] == 10 * r + (m - n + r - j)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_lower_precision_is_the_same_sum_roughly(dtype: torch.dtype) -> None:
    q, k, v, relative = random_attention(40, 40, 16, per_head=False)
    ours = relative_attention(q.to(dtype), k.to(dtype), v.to(dtype), relative.to(dtype), 16)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), relative_attention(q, k, v, relative, 16), rtol=0, atol=32 * torch.finfo(dtype).eps)


# What a position sees


@pytest.mark.parametrize("time", [1, 5, 12, 23])
def test_a_logit_depends_on_the_inputs_of_its_receptive_field_and_on_no_other(time: int) -> None:
    """By gradients: exactly 0 from the future and from beyond n_layers x (window - 1), not 0 from between."""
    model = random_model(dataclasses.replace(TINY, window=4))
    field = TINY.n_layers * (4 - 1)
    embedded = model.embedding.detach()[random_ids(1, time)].requires_grad_()
    x = embedded
    for layer in model.layers:
        x = layer(x)
    answers = torch.nn.functional.linear(transformer_module._norm(x, model.norm), model.unembedding)  # as `forward`, from the embeddings
    torch.testing.assert_close(answers, model(random_ids(1, time)))
    for t in range(time):
        (gradient,) = torch.autograd.grad(answers[0, t].square().sum(), embedded, retain_graph=True)
        reached = gradient[0].abs().amax(dim=1)
        for source in range(time):
            assert (reached[source] > 0) == (0 <= t - source <= field), f"logit {t}, input {source}: {reached[source]}"


@pytest.mark.parametrize("window", [1, 2, 5, 12])
def test_one_layer_sees_exactly_its_window(window: int) -> None:
    """Changing the input at distance `window` changes nothing, to the bit; at distance window - 1 it changes the logits."""
    model = random_model(dataclasses.replace(TINY, n_layers=1, window=window))
    ids = random_ids(1, 3 * window + 4)
    last = ids.shape[1] - 1
    before = logits(model, ids)[0, last]
    for distance in range(ids.shape[1]):
        other = ids.clone()
        other[0, last - distance] = (other[0, last - distance] + 1) % VOCAB_SIZE
        after = logits(model, other)[0, last]
        assert torch.equal(before, after) == (distance >= window), distance


def test_the_future_changes_nothing() -> None:
    model = random_model()
    ids = random_ids(2, 2 * BLOCK + 5)
    whole = logits(model, ids)
    for stop in (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 4):
        torch.testing.assert_close(logits(model, ids[:, :stop]), whole[:, :stop], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("before", [1, 6, 7, 50, 255, 256, 257])
def test_music_beyond_the_receptive_field_does_not_shift_it(before: int) -> None:
    """There are no absolute positions: after whatever and however much, the same passage has the same logits."""
    model = random_model()
    passage = random_ids(1, 40)
    after_other = torch.cat([random_ids(1, before, seed=100 + before), passage], dim=1)
    seen = TINY.n_layers * (TINY.window - 1)  # from here on, the passage alone
    torch.testing.assert_close(logits(model, after_other)[:, before + seen :], logits(model, passage)[:, seen:], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(logits(model, after_other)[:, before], logits(model, passage)[:, 0])


def test_order_matters_through_the_distances_alone() -> None:
    """With one embedding for all distances a layer could not tell the order of what came before; with its own for each, it can."""
    model = random_model(dataclasses.replace(TINY, n_layers=1))
    ids = random_ids(1, 6)
    swapped = ids[:, [1, 0, 2, 3, 4, 5]]
    assert not torch.allclose(logits(model, ids)[0, -1], logits(model, swapped)[0, -1])
    with torch.no_grad():
        table = model.get_buffer("layers.0.relative")
        table.copy_(table[:1].expand_as(table))
    torch.testing.assert_close(logits(model, ids)[0, -1], logits(model, swapped)[0, -1])


def test_sequences_of_a_batch_do_not_meet() -> None:
    model = random_model()
    ids = random_ids(3, 20)
    torch.testing.assert_close(
        logits(model, ids), torch.cat([logits(model, ids[row : row + 1]) for row in range(3)]), rtol=1e-10, atol=1e-10
    )


def test_the_feed_forward_reads_the_residual_stream() -> None:
    """One whole layer by hand, at one position, where attention is the value itself (FACTS.md section 3: the Keras example's fault)."""
    model = random_model(dataclasses.replace(TINY, n_layers=1))
    layer = model.layers[0]
    assert isinstance(layer, transformer_module.Layer)
    x = model.embedding[5]

    def norm(row: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return row / torch.sqrt((row * row).mean() + 1e-5) * gain

    value = layer.qkv[2 * TINY.d_model :] @ norm(x, layer.attention_norm)
    x = x + layer.attention_out @ value
    x = x + layer.feed_forward_out @ torch.clamp(layer.feed_forward_in @ norm(x, layer.feed_forward_norm), min=0) ** 2
    torch.testing.assert_close(model(torch.tensor([[5]]))[0, 0], model.unembedding @ norm(x, model.norm))


# Training reaches everything


def loss_of(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def gradient_of(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize("relative_per_head", [False, True])
def test_every_parameter_learns(relative_per_head: bool) -> None:
    """What writes to the residual stream begins at 0, so what it reads from has no gradient before the first update; after it, all have.

    What the relative table is made of too, each row of it: in one earlier system it was no parameter, neither trained nor saved.
    """
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, relative_per_head=relative_per_head))
    ids = random_ids(4, 30)
    torch.autograd.backward(loss_of(model, ids))
    unreached = {name.rpartition(".")[2] for name, parameter in model.named_parameters() if not gradient_of(parameter).any()}
    assert unreached == {"attention_norm", "qkv", "relative_by_wave", "feed_forward_norm", "feed_forward_in"}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.1 * gradient_of(parameter))
    model.zero_grad()
    torch.autograd.backward(loss_of(model, ids))
    for name, parameter in model.named_parameters():
        assert gradient_of(parameter).isfinite().all()
        assert gradient_of(parameter).any(), name
        if name.endswith("relative_by_wave"):
            assert gradient_of(parameter).abs().amax(dim=-1).all(), "a wave of the distances that never learns"


def test_a_new_model_has_no_opinion_and_learns_one_piece_by_heart() -> None:
    torch.manual_seed(0)
    model = Transformer(TINY)
    ids = random_ids(1, 40)
    assert loss_of(model, ids).item() == pytest.approx(math.log(VOCAB_SIZE), abs=0.05)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(model, ids)
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() < 0.5


def test_training_in_bfloat16_is_training_roughly() -> None:
    """Autocast's matrix products are bfloat16; the softmax and the loss stay float32."""
    model = random_model(dtype=torch.float32)
    ids = random_ids(2, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = loss_of(model, ids)
    torch.autograd.backward(rough)
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(loss_of(model, ids).item(), rel=0.05)
    assert all(gradient_of(parameter).dtype == torch.float32 and gradient_of(parameter).any() for parameter in model.parameters())


# A checkpoint is the model


@pytest.mark.parametrize("relative_per_head", [False, True])
def test_saved_and_loaded_logits_are_equal(tmp_path: Path, relative_per_head: bool) -> None:
    config = dataclasses.replace(TINY, relative_per_head=relative_per_head)
    model = random_model(config, dtype=torch.float32)
    ids = random_ids(2, 50)
    checkpoint.save(tmp_path / "32", model.to_checkpoint(nll=2.0))
    checkpoint.save(tmp_path / "16", model.to_checkpoint(), np.float16)
    loaded = checkpoint.load(tmp_path / "32")
    assert loaded.about == {"nll": 2.0}
    assert torch.equal(logits(Transformer.from_checkpoint(loaded), ids), logits(model, ids))
    half = Transformer.from_checkpoint(checkpoint.load(tmp_path / "16"))
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
    torch.testing.assert_close(logits(half, ids), logits(model, ids), rtol=0, atol=0.02 * float(logits(model, ids).std()))


def test_a_checkpoint_does_not_change_while_training_goes_on() -> None:
    """Its arrays were the parameters' own memory: the best checkpoint, kept aside, turned into the last."""
    model = random_model(dtype=torch.float32)
    kept = model.to_checkpoint()
    before = {name: array.copy() for name, array in kept.arrays.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for name, array in kept.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_model_does_not_change_the_checkpoint_that_it_came_from() -> None:
    kept = random_model(dtype=torch.float32).to_checkpoint()
    before = kept.arrays["norm"].copy()
    with torch.no_grad():
        Transformer.from_checkpoint(kept).norm.add_(1)
    np.testing.assert_array_equal(kept.arrays["norm"], before)


@pytest.mark.parametrize("relations", [False, True])
@pytest.mark.parametrize("relative_per_head", [False, True])
def test_parameters_and_tables_baked_have_the_names_and_shapes_of_the_checkpoint(relative_per_head: bool, relations: bool) -> None:
    config = dataclasses.replace(TINY, relative_per_head=relative_per_head, relations=relations)
    plain = tables.checkpoint_arrays(config, Transformer(config).state_dict())
    assert {name: tuple(tensor.shape) for name, tensor in plain.items()} == array_shapes(config)


@pytest.mark.parametrize("relations", [False, True])
@pytest.mark.parametrize("relative_per_head", [False, True])
def test_a_model_whose_tables_learned_is_the_same_model_from_its_checkpoint(relative_per_head: bool, relations: bool) -> None:
    """Rows of its own, what features and waves add to them, and the relations; every parameter moved from where it began."""
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, relative_per_head=relative_per_head, relations=relations))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    ids = random_ids(2, 50)
    again = Transformer.from_checkpoint(model.to_checkpoint())
    torch.testing.assert_close(logits(again, ids), logits(model, ids), rtol=0, atol=1e-4)
    assert not any(parameter.any() for name, parameter in again.named_parameters() if name.endswith(("_by_feature", "_by_wave")))


def test_relations_of_a_new_model_change_nothing_and_learn() -> None:
    """Their rows begin at zero; the state of each position follows from the ids of its own row alone."""
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(TINY, relations=True))
    ids = random_ids(3, 40)
    arrays = {name: array for name, array in model.to_checkpoint().arrays.items() if name in array_shapes(TINY)}
    plain = Transformer.from_checkpoint(Checkpoint(TINY, arrays, {}))
    torch.testing.assert_close(logits(model, ids), logits(plain, ids))
    torch.autograd.backward(loss_of(model, ids))
    assert gradient_of(model.relations).any()
    with torch.no_grad():
        model.relations.sub_(gradient_of(model.relations))
        model.input_relations.normal_()
    assert not torch.allclose(logits(model, ids), logits(plain, ids))
    torch.testing.assert_close(logits(model, ids)[1:2], logits(model, ids[1:2]))


@pytest.mark.parametrize(
    ("name", "parameters", "d_model", "n_heads", "n_layers"),
    [("tiny", 148_640, 32, 2, 2), ("small", 8_404_352, 384, 6, 4), ("base", 20_732_416, 512, 8, 6), ("large", 59_282_176, 768, 12, 8)],
)
def test_the_sizes_by_name(name: str, parameters: int, d_model: int, n_heads: int, n_layers: int) -> None:
    config = SIZES[name]
    assert (config.d_model, config.n_heads, config.n_layers, config.window) == (d_model, n_heads, n_layers, 2048)
    assert config.n_parameters == parameters
    assert config.relations and not config.relative_per_head


def test_there_are_no_other_sizes() -> None:
    assert list(SIZES) == ["tiny", "small", "base", "large"]


def test_the_model_is_one_readable_file() -> None:
    """DESIGN.md: read the whole model in an afternoon."""
    text = Path(transformer_module.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350


# Gradients, of attention made anew in the backward pass, and of the fused operator


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize(("time", "window", "block"), [(1, 3, 256), (7, 7, 3), (9, 4, 4), (12, 40, 5)])
def test_the_gradient_is_that_of_the_sum(monkeypatch: pytest.MonkeyPatch, time: int, window: int, block: int, per_head: bool) -> None:
    """Against differences of the sum itself; a distance beyond the sequence has none."""
    monkeypatch.setattr(attention_module, "QUERY_BLOCK", block)
    inputs = [x.requires_grad_() for x in random_attention(time, time, window, per_head)]
    assert torch.autograd.gradcheck(lambda q, k, v, relative: relative_attention(q, k, v, relative, window), inputs)


def fused_or_skip(dtype: torch.dtype) -> None:
    why = fused.build()
    if why is not None:
        pytest.skip(f"the fused operator cannot be built here: {why}")
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor does not multiply bfloat16")


FUSED_TYPES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])


@FUSED_TYPES
@pytest.mark.parametrize(
    ("batch", "time", "heads", "d_head", "per_head"), [(2, 64, 3, 32, False), (1, 192, 2, 64, True), (3, 128, 1, 96, False)]
)
def test_the_fused_operator_is_the_same_sum_and_the_same_gradient(
    batch: int, time: int, heads: int, d_head: int, per_head: bool, dtype: torch.dtype
) -> None:
    """As near as the type comes: bfloat16 has 8 bits, three roundings deep; measured 0.002 to 0.003."""
    fused_or_skip(dtype)
    generator = torch.Generator().manual_seed(time)
    qkv, table, gradient = (
        torch.randn(shape, generator=generator).to(dtype)
        for shape in (
            (batch, time, 3, heads, d_head),
            (heads, time + 9, d_head) if per_head else (time + 9, d_head),
            (batch, time, heads * d_head),
        )
    )
    inputs = qkv.requires_grad_(), table.requires_grad_()
    assert fused.supports(qkv, time)
    ours = fused.attend(*inputs)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    q, k, v = exact[0].permute(2, 0, 3, 1, 4)
    expected = relative_attention(q, k, v, exact[1], time).transpose(1, 2).flatten(2)
    pairs = [
        (ours, expected),
        *zip(torch.autograd.grad(ours, inputs, gradient), torch.autograd.grad(expected, exact, gradient.double()), strict=True),
    ]
    for rough, true in pairs:
        assert rough.dtype == dtype
        assert (rough.double() - true).norm() < (0.01 if dtype == torch.bfloat16 else 2e-5) * true.norm()


@FUSED_TYPES
def test_the_fused_operator_gives_the_same_bits_each_time(dtype: torch.dtype) -> None:
    """What resuming to the last bit rests on."""
    fused_or_skip(dtype)
    qkv = torch.randn(4, 128, 3, 2, 32).to(dtype).requires_grad_()
    table = torch.randn(128, 32).to(dtype).requires_grad_()
    once, again = (torch.autograd.grad(fused.attend(qkv, table).float().square().sum(), (qkv, table)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


@pytest.mark.parametrize(
    ("shape", "dtype", "window"),
    [
        ((1, 63, 3, 2, 32), torch.bfloat16, 99),
        ((1, 64, 3, 2, 16), torch.bfloat16, 99),
        ((1, 64, 3, 2, 32), torch.float64, 99),
        ((1, 96, 3, 2, 32), torch.float32, 99),
        ((1, 128, 3, 2, 32), torch.bfloat16, 127),
    ],
)
def test_what_the_fused_operator_does_not_take_is_attended_to_all_the_same(shape: tuple[int, ...], dtype: torch.dtype, window: int) -> None:
    fused_or_skip(torch.float32)
    qkv, table = torch.randn(shape).to(dtype), torch.randn(window, shape[-1])
    assert not fused.supports(qkv, window)
    assert attention_module.attend(qkv, table, window).shape == (1, shape[1], shape[3] * shape[4])
