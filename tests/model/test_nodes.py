"""A network's graph in a file: every form comes back equal, and what no graph is, is refused by its edge."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neocog.errors import FormatError, NeocogError, SettingError, ShapeError
from neocog.model.modelfile import load_network, save
from neocog.model.network import Network
from neocog.model.nodes import MAX_EDGES, net_from_json, nodes_to_json
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Add, Concatenate, Conv2d, Flatten, GlobalAvgPool2d, GroupNorm, Hardswish, Linear, ReLU
from neocog.nn.symbol import Input
from neocog.nn.wiring import IMAGE as FROM_IMAGE
from neocog.nn.wiring import Wiring

IMAGE = (6, 6, 2)


def again(graph: Graph) -> Graph:
    data = json.loads(json.dumps(nodes_to_json(graph)))
    return trace(net_from_json(data, graph.input), graph.input)


def branched() -> Graph:
    x = Input(IMAGE)
    y = Conv2d(4, 3, padding=1)(x, name="stem")
    z = Add()(y, Conv2d(4, 1)(x), y, name="join.sum")
    return Graph(x, Linear(2)(Flatten()(Concatenate()(z, y, x)), name="head"))


BLOCK = Residual(Sequential(Conv2d(2, 3, padding=1), ReLU()))
NETS = {
    "one layer": Flatten(),
    "a row": Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)),
    "rows in rows": Sequential(Sequential(Conv2d(2, 3), Sequential(ReLU())), Sequential(Flatten(), Linear(2))),
    "an empty row": Sequential(Conv2d(2, 3), Sequential(), Flatten()),
    "a residual": Sequential(BLOCK, Residual(Conv2d(4, 1, stride=2), Conv2d(4, 3, 2, 1)), GlobalAvgPool2d(), Linear(2)),
    "groups": Sequential(
        Conv2d(6, 3), GroupNorm(2), Hardswish(), GroupNorm(3, 1e-3, affine=False), Flatten(), Linear(2)
    ),
    "branches": Sequential(Concat(Conv2d(3, 1), BLOCK, Sequential()), Flatten(), Linear(2)),
    "any form": branched(),
    "an image": Sequential(Conv2d(3, 3, padding=1), ReLU()),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_network_of_any_form_comes_back_equal(net):
    graph = trace(net, IMAGE)
    assert again(graph) == graph


def test_rows_come_back_as_they_were_declared():
    for name in ("a row", "rows in rows"):
        assert again(trace(NETS[name], IMAGE)).net == NETS[name]
    assert isinstance(again(trace(NETS["a residual"], IMAGE)).net, Graph)
    assert isinstance(again(trace(NETS["an empty row"], IMAGE)).net, Graph)  # whose numbers a row would not give


@pytest.mark.parametrize("name", ["a residual", "groups"])
def test_a_file_keeps_a_network_bit_for_bit(tmp_path, name):
    network = Network(NETS[name], IMAGE, ["left", "right"], engine="reference", mean=0.25)
    save(network, tmp_path / "a")
    loaded = load_network(tmp_path / "a", Network, engine="reference")
    assert loaded.graph == network.graph
    assert all((loaded.parameters[name] == value).all() for name, value in network.parameters.items())
    save(loaded, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def node(name: str, inputs: object, kind: str = "ReLU") -> dict:
    return {"name": name, "inputs": inputs, "layer": {"kind": kind}}


ROW = [node("a", [-1]), node("b", [0]), node("c", [1])]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("a", [-1]), node("b", [2]), node("c", [1])], "nodes[1].inputs[0] of layer b is layer c, which comes"),
        ([node("a", [-1]), node("b", [1])], "nodes[1].inputs[0] of layer b is the layer itself; a network has no cycl"),
        ([node("a", [-1]), node("b", [0, 2], "Add")], "nodes[1].inputs[1] of layer b must lie between -1 and 1, got 2"),
        ([node("a", [-2])], "nodes[0].inputs[0] of layer a must lie between -1 and 0, got -2"),
        ([node("a", [10**4000])], "must lie between -1 and 0, got an integer of"),
        ([node("a", [True])], "nodes[0].inputs[0] of layer a must be the number of a layer, or -1 for the image"),
        ([node("a", ["image"])], "must be the number of a layer"),
        ([node("a", [0.0])], "must be the number of a layer"),
        ([node("a", [None])], "must be the number of a layer"),
        ([node("a", [])], "nodes[0].inputs of layer a must be a list of numbers, got []"),
        ([node("a", -1)], "nodes[0].inputs of layer a must be a list of numbers, got -1"),
        ([node("a", [-1] * (MAX_EDGES + 1), "Add")], "may hold at most 10,000 numbers"),
        ([node(f"n{n}", [-1] * 1000, "Add") for n in range(11)], "may have at most 10,000 inputs in all, got 11,000"),
        ([*ROW[:2], node("c", [0])], "layer b (ReLU) is not used: no layer takes what it gives"),
        ([node("a", [-1]), node("b", [-1])], "layer a (ReLU) is not used"),
        ([node("a", [-1]), node("b", [0], "Add")], "layer b (Add) needs at least 2 inputs, got 1"),
        ([node("a", [-1]), node("b", [0, -1])], "layer b (ReLU) takes 1 input, got 2"),
        ([node("a", [-1]), node("a", [0])], "two layers are called 'a'"),
        ([node("", [-1])], "nodes[0].name: a name must not be empty"),
        ([node(".", [-1])], "nodes[0].name: a name must not be empty, begin or end in a dot"),
        ([node("optimizer/0", [-1])], "hold a slash, got 'optimizer/0'"),
        ([node("x" * 1001, [-1])], "a name may have at most 1,000 characters"),
        ([node("a\nb", [-1])], "a name must hold nothing that cannot be printed, such as a line break"),
        ([node("\x1b[31mred", [-1])], "a name must hold nothing that cannot be printed, such as a line break"),
        ([node(3, [-1])], "nodes[0].name must be a text, got 3"),
        ([{"name": "a", "inputs": [-1]}], "missing: layer"),
        ([{**node("a", [-1]), "trainable": False}], "unknown: 'trainable'"),
        ([3], "nodes[0] must be an object, got 3"),
        ({}, "nodes must be a list, got {}"),
        ([], "a network needs at least one layer, got none"),
        ([node("a", [-1])] * 1001, "nodes may hold at most 1,000 layers, got 1,001"),
        (
            [{**node("a", [-1]), "layer": {"kind": "Sequential", "layers": []}}],
            "must be a single layer, got a Sequential",
        ),
        ([{**node("a", [-1]), "layer": {"kind": "os.system"}}], "nodes[0].layer.kind must be one of Conv2d"),
        (
            [{**node("a", [-1]), "layer": {"kind": "Linear", "features": 2, "bias": True}}],
            "layer a (Linear) needs a vec",
        ),
    ],
)
def test_what_is_no_graph_is_refused_by_its_edge(nodes, message):
    with pytest.raises((FormatError, ShapeError), match=re.escape(message)):
        trace(net_from_json(nodes, trace(ReLU(), IMAGE).input), IMAGE)


def test_shapes_that_do_not_meet_are_refused_with_where_they_come_from():
    nodes = [
        {"name": "stem", "inputs": [-1], "layer": {"kind": "Flatten"}},
        {"name": "join", "inputs": [0, -1], "layer": {"kind": "Add"}},
    ]
    with pytest.raises(ShapeError, match="layer join") as caught:
        net_from_json(nodes, trace(ReLU(), IMAGE).input)
    assert any("layer stem (Flatten) gives" in line for line in caught.value.details)
    assert any("the image gives" in line for line in caught.value.details)


@given(st.recursive(st.one_of(st.integers(-3, 4), st.text(max_size=3), st.none()), st.lists, max_leaves=4), st.data())
def test_anything_at_an_edge_loads_or_is_refused(value, data):
    nodes = nodes_to_json(trace(NETS["a residual"], IMAGE))
    place = data.draw(st.integers(0, len(nodes) - 1))
    nodes[place] = {**nodes[place], data.draw(st.sampled_from(["inputs", "name", "layer"])): value}
    try:
        graph = trace(net_from_json(nodes, trace(ReLU(), IMAGE).input), IMAGE)
    except NeocogError:
        return
    assert again(graph) == graph


def test_what_files_cannot_hold_is_refused_when_saving():
    x = Input(IMAGE)
    wiring = Wiring(x.shape)
    wiring.add(Flatten(), "a/b", (FROM_IMAGE,))
    with pytest.raises(SettingError, match=r"layer a/b \(Flatten\) cannot be saved: a name must not be empty"):
        nodes_to_json(Graph.of(wiring, 0))
    many = Graph(x, Flatten()(Add()(*[x] * (MAX_EDGES + 1))))
    with pytest.raises(SettingError, match="at most 10,000 edges"):
        nodes_to_json(many)
