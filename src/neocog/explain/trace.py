"""One image on its way through a network: what every layer gave, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.judgement import Judgement
from neocog.explain.subject import Array, Subject, exact_parameters, layer_node, one_image
from neocog.nn.answer import ACTIVATIONS
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.reference.network import ForwardPass, forward

MOST_VALUES = 1 << 28  # of an image, over all layers: 2 GiB in float64


@dataclass(frozen=True, slots=True)
class Trace:
    """What a network computed for one image.

    image: (H, W, C) in [0, 1], before normalisation.
    parameters: those that it was computed with, in float64.
    run: the forward pass, on a batch of one: the reference engine's, or what the model's own engine gave (`observe`).
    judgement: how logits become the network's answer.
    mean_logits: (..., classes) what that is made of: the logits, or their mean over all views that the network looks at
        to answer.
    """

    graph: Graph
    image: Array
    parameters: Mapping[str, Array]
    run: ForwardPass
    judgement: Judgement
    mean_logits: Array

    @property
    def normalised(self) -> Array:
        """What the first layer took, (H, W, C)."""
        return _first(self.run.image)

    @property
    def logits(self) -> Array:
        """What the last layer gave: one value a class, (classes,), or (H, W, classes) of networks that answer pixel by
        pixel.
        """
        return _first(self.run.logits)

    @property
    def class_logits(self) -> Array:
        """One logit a class: of networks that answer pixel by pixel, the mean over all pixels."""
        return by_class(self.logits)

    @property
    def probabilities(self) -> Array:
        """One a class, as `Network.predict_proba` gives them; of networks that answer pixel by pixel, means over
        pixels.
        """
        return by_class(self.judgement.probabilities(self.mean_logits))

    @property
    def predicted(self) -> tuple[int, ...]:
        """What the network says, as `Network.predict` does: the most probable class, or -1 where that is unknown; or
        all labels of a probability above their thresholds.
        """
        return self.judgement.predicted(self.probabilities)

    def value(self, value: int) -> Array:
        """Return a value by its number, of one image: what a layer gave, or for -1 what the first one took."""
        return _first(self.run.image if value == IMAGE else self.run.outputs[value])

    def input(self, index: int, position: int = 0) -> Array:
        """Return an input of layer number `index`, the first of several by default: (H, W, C) or (F,)."""
        return self.value(self.graph.nodes[index].inputs[position])

    def output(self, index: int) -> Array:
        """Return the output of layer number `index`: (P, Q, K) or (F,)."""
        return self.value(index)


def by_class(values: Array) -> Array:
    """Return the mean over pixels of values (H, W, classes), and values (classes,) as they are."""
    return np.asarray(values.reshape(-1, values.shape[-1]).mean(axis=0), np.float64)


def _first(batch: Array) -> Array:
    one: Array = batch[0]
    return one


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a reader must know before trusting a picture.

    layer: index of the layer; None: the whole network.
    kind: "nan", "infinite", "constant" (an activation gives 0 everywhere).
    text: one line that names the layer and the cause.
    channels: which filters or outputs, where it is some of them.
    """

    layer: int | None
    kind: str
    text: str
    channels: tuple[int, ...] = ()


def trace(model: Subject, image: NDArray[Any]) -> Trace:
    """Run one image through a network and keep everything.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1]; (H, W) if grey.

    Raises:
        ShapeError, DataError: the image does not fit the network.
        SettingError: the network gives too many values to keep.

    >>> import numpy as np, neocog as nc
    >>> model = nc.Model(nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten()), (6, 6, 1))
    >>> trace(model, np.zeros((6, 6, 1))).output(0).shape
    (4, 4, 2)
    """
    batch = one_image(model, image)
    check_room(model.graph)
    parameters = exact_parameters(model)
    if not parameters:  # without any, the reference computes in float64 too
        batch = batch.astype(np.float64) / (255.0 if batch.dtype == np.uint8 else 1.0)
    with np.errstate(all="ignore"):  # NaN and infinite weights are shown, not warned of
        run = forward(model.graph, parameters, batch)
        mean = _mean_over_looks(model, parameters, batch, run)
    values = batch[0] / 255.0 if batch.dtype == np.uint8 else batch[0]
    return Trace(model.graph, values.astype(np.float64), parameters, run, Judgement.of(model), _first(mean))


def _mean_over_looks(model: Subject, parameters: dict[str, Array], batch: NDArray[Any], run: ForwardPass) -> Array:
    """Return the mean of the logits over all that the network looks at to answer for a batch.

    run: what was computed for the batch as it is, which need not be done twice.
    """
    looks = list(model.looks(batch)) if hasattr(model, "looks") else []
    if len(looks) <= 1:
        return run.logits
    logits = (run.logits if look is batch else forward(model.graph, parameters, look).logits for _, look in looks)
    return np.asarray(sum(share * each for (share, _), each in zip(looks, logits, strict=True)))


def check_room(graph: Graph) -> None:
    """Raise SettingError before memory is taken that there hardly is: everything is kept, in float64."""
    values = sum(node.output.size for node in graph.nodes)
    if values > MOST_VALUES:
        raise SettingError(
            f"this network gives {values:,} values for an image, at most {MOST_VALUES:,} can be explained",
            hint="train it on smaller images; predictions need less memory",
        )


def activations(model: Subject, image: NDArray[Any]) -> dict[str, Array]:
    """Return the output of every layer for an image: layer name → (P, Q, K), or (F,) behind a Flatten."""
    traced = trace(model, image)
    return {node.name: traced.output(node.index) for node in model.graph.nodes}


def activation(model: Subject, image: NDArray[Any], layer: int | str) -> Array:
    """Return the output of one layer, found by index or name, for an image: (P, Q, K) or (F,)."""
    return trace(model, image).output(layer_node(model, layer).index)


def zero_channels(output: Array) -> tuple[int, ...]:
    """List the maps (P, Q, K) that are 0 everywhere on this image; of a vector (F,), none are listed.

    That is no fault: another image may move them. Whether a filter is dead, a data set can tell (`explain.patches`).
    """
    return tuple(int(k) for k in np.flatnonzero(~np.any(output != 0, axis=(0, 1)))) if output.ndim == 3 else ()


def problems(traced: Trace) -> tuple[Problem, ...]:
    """List what makes pictures of this network and image mean less than they seem to, in the order of layers.

    NaN and infinite values are told where they first arise, in a layer's weights or in its output; an activation that
    lets nothing pass is told there.
    """
    found: list[Problem] = []
    spoilt = False
    for node in traced.graph.nodes:
        found += _weight_problems(traced, node)
        output = traced.output(node.index)
        if not np.isfinite(output).all():
            if not spoilt and not any(problem.layer == node.index for problem in found):
                kind = "nan" if np.isnan(output).any() else "infinite"
                word = "NaN" if kind == "nan" else "infinite values"
                found.append(Problem(node.index, kind, f"{node.title} gives {word}: its sums overflow"))
            spoilt = True
        elif isinstance(node.layer, ACTIVATIONS) and not spoilt:
            found += _silence(node, output)
    return tuple(found)


def _weight_problems(traced: Trace, node: Node) -> list[Problem]:
    found = []
    for kind in (variable.name for variable in node.layer.variables(*node.shapes)):
        values = traced.parameters[f"{node.name}.{kind}"]
        if np.isfinite(values).all():
            continue
        bad = ~np.isfinite(values)
        channels = tuple(int(k) for k in np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(axis=0)))
        nan = bool(np.isnan(values).any())
        text = f"{node.title} has {int(bad.sum())} {'NaN' if nan else 'infinite'} values in its {kind}"
        found.append(Problem(node.index, "nan" if nan else "infinite", text, channels))
    return found


def _silence(node: Node, output: Array) -> list[Problem]:
    """Tell of an activation that stops everything; that some maps are 0 on one image is what filters are for."""
    if output.any():
        return []
    return [Problem(node.index, "constant", f"{node.title} gives 0 everywhere: nothing behind it can see the image")]
