"""The same model with a cache in ONNX Runtime: a graph of one step, built node by node.

A model with relations is measured without them, and the player's name says so: what moves the musical state would be a program of its own.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np

from preludio.bench.decoders import Seconds, random_ids
from preludio.checkpoint import Arrays, Checkpoint

WITHOUT_RELATIONS = ", without relations"


class StepGraph:
    """Nodes and constants of one step: an id and each layer's keys and values (head, n, d_head) -> logits and the same with one more."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._helper: Any = importlib.import_module("onnx.helper")
        self._numpy: Any = importlib.import_module("onnx.numpy_helper")
        self.config = checkpoint.config
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._n = 0
        self._build(checkpoint.arrays)

    def serialised(self) -> bytes:
        helper, floats = self._helper, importlib.import_module("onnx").TensorProto.FLOAT
        inner = [self.config.n_heads, "past", self.config.d_head]
        cache = [f"{what}{layer}" for layer in range(self.config.n_layers) for what in ("keys", "values")]
        inputs = [helper.make_tensor_value_info("id", importlib.import_module("onnx").TensorProto.INT64, [1])]
        inputs += [helper.make_tensor_value_info(name, floats, inner) for name in cache]
        outputs = [helper.make_tensor_value_info("logits", floats, [1, 391])]
        outputs += [
            helper.make_tensor_value_info(f"{name}_next", floats, [self.config.n_heads, "now", self.config.d_head]) for name in cache
        ]
        graph = helper.make_graph(self._nodes, "step", inputs, outputs, list(self._constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        serialised: bytes = model.SerializeToString()
        return serialised

    def _build(self, arrays: Arrays) -> None:
        x = self._add("Gather", self._constant(arrays["embedding"]), "id")
        for layer in range(self.config.n_layers):
            part = {name.rpartition(".")[2]: array for name, array in arrays.items() if name.startswith(f"layers.{layer}.")}
            x = self._add("Add", x, self._attend(self._norm(x, part["attention_norm"]), part, layer))
            hidden = self._add("Relu", self._times(self._norm(x, part["feed_forward_norm"]), part["feed_forward_in"]))
            x = self._add("Add", x, self._times(self._add("Mul", hidden, hidden), part["feed_forward_out"]))
        self._times(self._norm(x, arrays["norm"]), arrays["unembedding"], into="logits")

    def _attend(self, x: str, part: Arrays, layer: int) -> str:
        heads, d_head = self.config.n_heads, self.config.d_head
        row = self._add("Reshape", self._times(x, part["qkv"]), self._constant(np.array([3, heads, 1, d_head])))
        q, k, v = (self._add("Squeeze", name, self._constant(np.array([0]))) for name in self._split(row, 3))
        keys = self._add("Concat", f"keys{layer}", k, into=f"keys{layer}_next", axis=1)
        values = self._add("Concat", f"values{layer}", v, into=f"values{layer}_next", axis=1)
        q = self._add("Mul", q, self._constant(np.array(d_head**-0.5, dtype=np.float32)))
        table = self._constant(np.ascontiguousarray(part["relative"][::-1].T))  # the farthest first: its end lines up with the keys
        n = self._add("Slice", self._add("Shape", keys), self._constant(np.array([1])), self._constant(np.array([2])))
        near = self._add("Slice", table, self._add("Neg", n), self._constant(np.array([1 << 30])), self._constant(np.array([1])))
        by_key = self._add("MatMul", q, self._add("Transpose", keys, perm=[0, 2, 1]))
        weights = self._add("Softmax", self._add("Add", by_key, self._add("MatMul", q, near)), axis=-1)
        mixed = self._add("Reshape", self._add("MatMul", weights, values), self._constant(np.array([1, heads * d_head])))
        return self._times(mixed, part["attention_out"])

    def _norm(self, x: str, gain: Any) -> str:
        mean = self._add("ReduceMean", self._add("Mul", x, x), axes=[-1], keepdims=1)
        root = self._add("Sqrt", self._add("Add", mean, self._constant(np.array(1e-5, dtype=np.float32))))
        return self._add("Mul", self._add("Div", x, root), self._constant(gain))

    def _times(self, x: str, matrix: Any, into: str | None = None) -> str:
        return self._add("MatMul", x, self._constant(np.ascontiguousarray(matrix.T)), into=into)

    def _split(self, x: str, n: int) -> list[str]:
        outputs = [self._name() for _ in range(n)]
        self._nodes.append(self._helper.make_node("Split", [x], outputs, axis=0))
        return outputs

    def _add(self, kind: str, *inputs: str, into: str | None = None, **attributes: Any) -> str:
        output = into or self._name()
        self._nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, array: Any) -> str:
        name = self._name()
        self._constants[name] = self._numpy.from_array(array, name)
        return name

    def _name(self) -> str:
        self._n += 1
        return f"t{self._n}"


class OnnxDecoder:
    """Keys and values go round as the runtime's own values, without a copy into NumPy. Up to the window: none are dropped."""

    batch = 1

    def __init__(self, name: str, checkpoint: Checkpoint, threads: int) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        self.name, self.threads = name + (WITHOUT_RELATIONS if checkpoint.config.relations else ""), threads
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        graph = StepGraph(checkpoint)
        self._session = runtime.InferenceSession(graph.serialised(), options, providers=["CPUExecutionProvider"])
        self._config, self._value = graph.config, runtime.OrtValue.ortvalue_from_numpy
        self._outputs = [output.name for output in self._session.get_outputs()]

    def decode(self, n: int) -> Seconds:
        return np.diff(self.logits(random_ids(n))[1])

    def logits(self, ids: Any) -> tuple[Any, list[float]]:
        """ids (n,) -> what follows the last, (1, 391); and when each began and the last ended."""
        empty = np.empty((self._config.n_heads, 0, self._config.d_head), dtype=np.float32)
        cache = {name.removesuffix("_next"): self._value(empty) for name in self._outputs[1:]}
        marks = [time.perf_counter()]
        for one in ids:
            found = self._session.run_with_ort_values(self._outputs, {"id": self._value(np.array([one])), **cache})
            cache = {name.removesuffix("_next"): value for name, value in zip(self._outputs[1:], found[1:], strict=True)}
            marks.append(time.perf_counter())
        return found[0].numpy(), marks
