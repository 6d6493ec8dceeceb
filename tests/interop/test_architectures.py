"""Networks of the zoo in the forms that others trained."""

import pytest

from neocog.errors import SettingError
from neocog.interop.architectures import OF_TIMM, Architecture
from neocog.nn.layers import BatchNorm2d, Conv2d
from neocog.nn.parameters import variables_of
from neocog.nn.zoo import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_a_network_by_the_zoos_name_is_the_zoos(name: str) -> None:
    known = MODELS[name]
    assert Architecture.named(name).graph(known.classes).nodes == known.graph().nodes


def test_what_came_from_tensorflow_has_its_padding_and_epsilon() -> None:
    graph = Architecture.named("tf_mobilenet_v1_x0_25").graph(5, (64, 64, 3))
    own = Architecture.named("mobilenet_v1_x0_25").graph(5, (64, 64, 3))
    layers = [node.layer for node in graph.nodes]
    assert all(layer.epsilon == 1e-3 for layer in layers if isinstance(layer, BatchNorm2d))
    wide = [layer for layer in layers if isinstance(layer, Conv2d) and layer.kernel != 1]
    assert wide
    assert all(layer.padding == "same" for layer in wide)
    assert [(p.name, p.shape) for p in variables_of(graph)] == [(p.name, p.shape) for p in variables_of(own)]
    first = graph.nodes[0]
    window = first.layer.window_over(graph.input).vertical  # type: ignore[attr-defined]
    assert (window.before, window.after) == (0, 1)


@pytest.mark.parametrize("name", OF_TIMM)
def test_timms_names_are_understood(name: str) -> None:
    found = Architecture.named(f"timm/{name}.some_tag_in1k")
    assert found.name == OF_TIMM[name]
    epsilons = {node.layer.epsilon for node in found.graph(3).nodes if isinstance(node.layer, BatchNorm2d)}
    assert epsilons == {1e-5}


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(SettingError, match="no network is known as 'resnet1000'"):
        Architecture.named("resnet1000")
    with pytest.raises(SettingError, match="tf_resnet18 is not known"):
        Architecture.named("tf_resnet18").graph(10)
