"""Networks made of other ones: another graph, with the weights that both know by name and shape."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from neocog.data.identity import NOBODY
from neocog.errors import ShapeError
from neocog.model.arguments import check_names, check_seed
from neocog.model.pictures import piece_size
from neocog.model.weights import Weights
from neocog.nn.graph import Graph, trace
from neocog.nn.parameters import initial_parameters
from neocog.nn.transfer import with_head

if TYPE_CHECKING:
    from neocog.model.network import Network

Kind = TypeVar("Kind", bound="Network")


def remade(network: Kind, graph: Graph, class_names: Sequence[str] | None = None, *, seed: int | None = None) -> Kind:
    """Return a network with another graph: with preprocessing, engine and origin as they are, and with the weights of
    layers that both have; others begin at random.

    What was measured of the network, or fitted to it, is not true of this one, and left out.

    Arguments:
        network: stays as it is.
        graph: of the new one.
        class_names: default: "0", "1", ...
        seed: of the weights that begin at random; default: the network's.
    """
    twin = copy(network)
    twin.graph, twin.class_names = graph, check_names(class_names, graph.classes)
    twin.seed = network.seed if seed is None else check_seed(seed)
    twin.images_at_once = piece_size(graph)
    twin.metrics = {}
    twin.calibration = twin.reject_below = None
    twin.thresholds = None
    twin.precision = "float32" if network.precision == "int8" else network.precision
    twin.scales = None
    known, drawn_from = network.parameters, twin.seed
    twin.weights = Weights(graph, lambda: initial_parameters(graph, drawn_from, "he", known))
    return twin


def for_classes(
    network: Kind,
    class_names: Sequence[str],
    *,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
) -> Kind:
    """Return a network with a new head for these classes, and the body of another.

    Arguments:
        network: stays as it is.
        class_names: one for each output.
        size: height and width of the images; default: the network's.
        seed: of the head's weights; default: the network's.

    Raises:
        ShapeError: its layers do not take images of that size.
        SettingError: it has no body; see `neocog.nn.transfer.head_of`.
    """
    height, width, channels = network.input_shape
    graph = network.graph
    if size is not None and size != (height, width):
        graph = trace(graph, (*size, channels), graph.normalisation)
    made = remade(network, with_head(graph, len(class_names)), class_names, seed=seed)
    if size is not None and network.resize.kind == "short" and network.resize.side:
        made.resize = replace(network.resize, side=max(1, round(network.resize.side * min(size) / min(height, width))))
    if made.learnt_from is None:
        made.learnt_from = NOBODY  # of the images at hand; `origin` says where it learnt before
    head = made.graph.nodes[-1].name
    for name, value in made.parameters.items():
        if name.rpartition(".")[0] != head and (
            name not in network.parameters or network.parameters[name].shape != value.shape
        ):
            raise ShapeError(
                f"this network takes images of {height} x {width} pixels alone: at {graph.input.height} x "
                f"{graph.input.width} its {name} would have other weights",
                hint="leave the size out, or choose a network that ends in a global average",
            )
    return made
