import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from torch import nn

from offline_prune.acting.policy import ActingPolicy
from offline_prune.acting.rules import TanhRule
from offline_prune.export.onnx.onnx_format import ONNX
from offline_prune.export.onnx.sparse import gap_coded, sparse_weights, stripped
from offline_prune.export.written import Writing


def decoded(gaps, values, size):
    flat = np.zeros(size, np.float32)
    places = np.cumsum(gaps.astype(np.int64))
    assert (np.diff(places) > 0).all()  # no place is written twice
    flat[places] = values
    return flat


@given(
    st.lists(st.tuples(st.integers(0, 900), st.floats(width=32, allow_subnormal=True)), max_size=20)
)
def test_gap_coding_gives_every_weight_back(kept):
    flat = np.concatenate(
        [np.zeros(1, np.float32)]
        + [np.append(np.zeros(gap, np.float32), np.float32(value)) for gap, value in kept]
    )[1:]
    gaps, values = gap_coded(flat)
    assert (gaps.dtype, values.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(decoded(gaps, values, flat.size), flat)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([0], [0]),
        ([255], [255]),
        ([256], [255, 1]),
        ([510], [255, 255]),
        ([0, 255, 511, 512], [0, 255, 255, 1, 1]),
        ([3, 600], [3, 255, 255, 87]),
    ],
)
def test_gaps_by_hand(places, expected):
    flat = np.zeros(700, np.float32)
    flat[places] = 1 + np.arange(len(places))
    gaps, values = gap_coded(flat.reshape(7, 100))
    assert gaps.tolist() == expected
    assert [v for v in values if v] == list(range(1, len(places) + 1))


def model_of(*weights):
    """A chain of matrix products; each weight is an initializer."""
    nodes, x = [], "x"
    for i in range(len(weights)):
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"y{i}"], doc_string="a line"))
        x = f"y{i}"
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", 1, ["n", weights[0].shape[0]])],
        [helper.make_tensor_value_info(x, 1, ["n", weights[-1].shape[-1]])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
        doc_string="another line",
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def weight_of(rows, columns, density, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(rows, columns)).astype(np.float32)
    return weight * (rng.random(weight.shape) < density)


def session(model, *, fold=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not fold:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("fold", [True, False])
def test_the_rebuilt_model_computes_the_same_numbers(fold):
    weights = [weight_of(60, 80, 0.05), weight_of(80, 70, 0.001, 1), np.zeros((70, 50), np.float32)]
    weights[1][-1, -1] = 3.0
    for count in (1, 2, 3):
        model = model_of(*weights[:count])
        sparse = sparse_weights(model)
        onnx.checker.check_model(sparse, full_check=True)
        assert {n.op_type for n in sparse.graph.node} > {"CumSum", "ScatterElements"}
        x = np.random.default_rng(2).normal(size=(9, 60)).astype(np.float32)
        found, expected = (session(m, fold=fold).run(None, {"x": x})[0] for m in (sparse, model))
        np.testing.assert_array_equal(found, expected)


def test_onnx_runtime_folds_the_rebuilding_once(tmp_path):
    sparse = sparse_weights(model_of(weight_of(60, 80, 0.05)))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    onnxruntime.InferenceSession(
        sparse.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    folded = onnx.load(tmp_path / "folded.onnx")
    assert [node.op_type for node in folded.graph.node] == ["MatMul"]


def test_what_would_not_be_smaller_stays_dense():
    dense, small, pruned = weight_of(60, 20, 0.9), weight_of(20, 5, 0.1), weight_of(5, 400, 0.1)
    model = model_of(dense, small, pruned)
    before = model.SerializeToString()
    sparse = sparse_weights(model)
    assert model.SerializeToString() == before
    assert {"w0", "w1"} < {tensor.name for tensor in sparse.graph.initializer}
    assert "w2" not in {tensor.name for tensor in sparse.graph.initializer}
    assert len(sparse.SerializeToString()) < len(before)
    assert sparse_weights(model_of(dense)) == model_of(dense)


def test_it_never_grows():
    """Also where that is about to."""
    order = np.random.default_rng(0).permutation(400)
    forms = set()
    for n_kept in range(401):
        weight = np.zeros(400, np.float32)
        weight[order[:n_kept]] = 1.0
        model = model_of(weight.reshape(20, 20))
        sparse = sparse_weights(model)
        assert sparse.ByteSize() <= model.ByteSize()
        forms.add(len(sparse.graph.node))
    assert forms == {1, 6}


def test_what_an_exporter_notes_is_left_out():
    model = model_of(weight_of(4, 4, 1.0))
    helper.set_model_props(model, {"dataset": "lab/arm-v0"})
    model.graph.node[0].metadata_props.add(key="where", value="a file of somebody")
    model.graph.value_info.append(helper.make_tensor_value_info("y", 1, None))
    found = stripped(model)
    onnx.checker.check_model(found, full_check=True)
    text = str(found)
    assert not any(word in text for word in ("a line", "another line", "somebody"))
    assert [(p.key, p.value) for p in found.metadata_props] == [("dataset", "lab/arm-v0")]
    assert not found.graph.value_info
    assert "a line" in str(model)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(256, 256), (300, 300, 300)])
def test_a_sparse_file_is_small(hidden, tmp_path):
    """95 % of a policy's weights are zero: less than 8 % of the dense file."""
    sizes = []
    for density in (0.05, 1.0):
        torch.manual_seed(0)
        layers, width = [], 17
        for units in (*hidden, 6):
            layer = nn.Linear(width, units)
            with torch.no_grad():
                layer.weight *= torch.rand(layer.weight.shape) < density
            layers += [layer, nn.ReLU()]
            width = units
        policy = ActingPolicy(
            None, [nn.Sequential(*layers[:-1])], TanhRule(), None,
            observation_shape=(17,), action_size=6, n_weights=1, n_nonzero=1,
        )  # fmt: skip
        path = tmp_path / "policy.onnx"
        ONNX.write(policy, path, Writing({"dataset": "lab/arm-v0"}))
        onnx.checker.check_model(path, full_check=True)
        sizes.append(path.stat().st_size)
        (run,) = ONNX.open(path, policy)
        x = torch.randn(5, 17)
        np.testing.assert_allclose(run(x.numpy()), policy(x).numpy(), atol=1e-6)
    assert sizes[0] < 0.08 * sizes[1]
