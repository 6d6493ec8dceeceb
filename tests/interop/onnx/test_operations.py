"""Every layer, alone and in company, as ONNX Runtime computes it: within the bounds that engines are held to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import error_bound, within
from conformance_cases import Case, exact_count, examples, integer_case, real_case, real_cases
from conformance_drawn import graphs
from conformance_graphs import EACH, GRAPHS, is_exact
from conformance_networks import LANDMARKS
from neocog.engines.reference import ReferenceEngine
from neocog.interop.onnx.write import onnx_bytes
from neocog.model.network import Network
from neocog.nn.losses import CrossEntropy

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

CASES = LANDMARKS | GRAPHS | EACH
UNROUNDED = {name: graph for name, graph in CASES.items() if is_exact(graph) and exact_count(4, graph)}
NEWEST = onnx.defs.onnx_opset_version()


def network_of(case: Case) -> Network:
    normalisation = case.graph.normalisation
    network = Network(case.graph, case.graph.input, mean=normalisation.mean, std=normalisation.std, engine="reference")
    network.load_parameters(case.parameters)
    return network


def logits_of(case: Case, opset: int = 17) -> np.ndarray:
    form = "uint8" if case.images.dtype == np.uint8 else "float"
    content = onnx_bytes(network_of(case), input=form, opset=opset)
    images = case.images if form == "uint8" else np.ascontiguousarray(case.images.transpose(0, 3, 1, 2))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def check(case: Case, opset: int = 17) -> None:
    bounds = error_bound(case, training=False)
    found = logits_of(case, opset)
    assert found.shape == bounds.run.logits.shape
    assert within(found, bounds.run.logits, bounds.of_logits)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("opset", [17, NEWEST])
def test_a_network_computes_the_same_within_its_bounds(name: str, opset: int) -> None:
    check(real_case(CASES[name], 3, list(CASES).index(name) % 2, CrossEntropy()), opset)


@pytest.mark.parametrize("name", UNROUNDED)
def test_numbers_that_do_not_round_are_the_same(name: str) -> None:
    graph = UNROUNDED[name]
    case = integer_case(graph, exact_count(4, graph), seed=4)
    assert case is not None
    exact = ReferenceEngine().predictor(graph, case.parameters).logits(case.images)
    np.testing.assert_array_equal(logits_of(case), exact)


@examples(0.5)
@given(case=real_cases(st.just(CrossEntropy()), graphs()))
def test_any_graph(case: Case) -> None:
    check(case)
