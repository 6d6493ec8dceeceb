"""Networks of the zoo as others trained them: under timm's names too, and with TensorFlow's padding.

timm writes `tf_` before what came from TensorFlow, and so does this: convolutions whose stride leaves an odd pixel of
padding have it behind the image ("same"), and normalizations add 0.001 to variances. Weights of one form load into the
other, which then answers a little worse, and nothing tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from neocog.errors import SettingError
from neocog.nn.graph import IMAGE, Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import BatchNorm2d, Conv2d, MaxPool2d
from neocog.nn.limits import shown
from neocog.nn.shapes import ImageShape
from neocog.nn.wiring import Wiring
from neocog.nn.zoo.names import IMAGENET, MODELS

TENSORFLOW = "tf_"
TENSORFLOW_EPSILON = 1e-3
PYTORCH_EPSILON = 1e-5

OF_TIMM = {
    "mobilenetv1_100": "mobilenet_v1",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_100": "mobilenet_v3_small",
}
"""timm's names → the zoo's, where they differ."""

_TIMMS = ("convnext_atto", "efficientnet_lite0", "repvgg_a0")  # known by timm's name, and not torchvision's


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network of the zoo in the form that somebody trained.

    Arguments:
        name: in the zoo.
        tensorflow: whether its padding is TensorFlow's.
        epsilon: of its normalizations; None: the zoo's.
        preprocessing: what its weights usually want; see `neocog.interop.preprocessing.NAMED`.

    >>> Architecture.named("timm/tf_efficientnet_lite0.in1k")
    Architecture(name='efficientnet_lite0', tensorflow=True, epsilon=0.001, preprocessing='lite')
    """

    name: str
    tensorflow: bool = False
    epsilon: float | None = None
    preprocessing: str = "plain"

    @classmethod
    def named(cls, name: str) -> Architecture:
        """Return the form that a name means: the zoo's, timm's with or without owner and tag, or one with `tf_`.

        Raises:
            SettingError: there is no such network.
        """
        plain = name.rpartition("/")[2].partition(".")[0]
        tensorflow = plain.startswith(TENSORFLOW)
        word = plain.removeprefix(TENSORFLOW)
        zoo = OF_TIMM.get(word, word)
        if zoo not in MODELS:
            raise SettingError(
                f"no network is known as {shown(name)}",
                hint=f"known are {', '.join([*MODELS, *OF_TIMM])}, and some with {TENSORFLOW} before",
            )
        if tensorflow:
            usual = "lite" if "lite" in zoo else "timm" if zoo.startswith("efficientnet") else "tensorflow"
            return cls(zoo, True, TENSORFLOW_EPSILON, usual)
        if word in OF_TIMM:
            return cls(zoo, False, PYTORCH_EPSILON, "timm")
        known = MODELS[zoo]
        usual = "plain" if known.classes != IMAGENET else "timm" if zoo in _TIMMS else "torchvision"
        return cls(zoo, False, None, usual)

    @property
    def as_tensorflow(self) -> Architecture:
        """The same network in TensorFlow's form."""
        return Architecture.named(f"{TENSORFLOW}{self.name}")

    @property
    def image(self) -> ImageShape:
        """What it was made for."""
        return MODELS[self.name].image

    def graph(self, classes: int, image: ImageShape | tuple[int, int, int] | None = None) -> Graph:
        """Return the network for so many classes and images of a size; of the one that it was made for by default.

        Raises:
            SettingError: it is known in one form only. ShapeError: it cannot take images of this size.
        """
        found = trace(MODELS[self.name].make(classes), self.image if image is None else image)
        wiring, values = Wiring(found.input), {IMAGE: IMAGE}
        for node in found.nodes:
            inputs = tuple(values[value] for value in node.inputs)
            values[node.index] = wiring.add(self._changed(node.layer), node.name, inputs)
        return Graph.of(wiring, values[len(found.nodes) - 1], found.normalisation)

    def _changed(self, layer: Layer) -> Layer:
        if isinstance(layer, BatchNorm2d) and self.epsilon is not None:
            return replace(layer, epsilon=self.epsilon)
        if self.tensorflow and isinstance(layer, MaxPool2d):
            raise SettingError(
                f"{TENSORFLOW}{self.name} is not known: TensorFlow's padding is, of networks without max pooling",
                hint=f"try {self.name}",
            )
        around = isinstance(layer, Conv2d) and layer.padding != "same" and layer.kernel != 1
        if self.tensorflow and around:
            assert isinstance(layer, Conv2d)
            return replace(layer, padding="same")
        return layer
