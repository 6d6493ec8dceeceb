"""Other people's renderings of the networks of the zoo, with the same weights: torchvision's and timm's.

Neither is needed to run the tests: `nn/zoo_answers.json` holds what they answered. To compare every layer, install them
beside PyTorch (`pip install --no-deps torchvision==0.28.0 timm==1.0.31`); to write the record anew, from the root:

    python -m tests.zoo_oracle [NAME...]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neocog.nn.graph import Graph, trace
from neocog.nn.parameters import initial_parameters, to_pytorch, variables_of
from neocog.nn.zoo import MODELS

RECORD = Path(__file__).with_name("nn") / "zoo_answers.json"
CLASSES, IMAGES = 10, 2

TORCHVISION = (
    *("alexnet", "densenet121", "efficientnet_b0", "googlenet", "mobilenet_v2", "mobilenet_v3_large"),
    *("mobilenet_v3_small", "resnet18", "resnet34", "resnet50", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    *("squeezenet1_0", "squeezenet1_1", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn"),
)
"""Those that torchvision has under the same name."""

TIMM = {
    "convnext_atto": "convnext_atto",
    "efficientnet_lite0": "efficientnet_lite0",
    "mobilenet_v1": "mobilenetv1_100",
    "repvgg_a0": "repvgg_a0",
}
"""Name → timm's."""

NAMES = (*TORCHVISION, *TIMM, "resnet20", "resnet56")


def graph_of(name: str) -> Graph:
    """Return a network for small images: of 64 × 64 pixels, or of those that it was made for if they are smaller."""
    side = min(64, MODELS[name].image.height)
    return trace(MODELS[name].make(CLASSES), (side, side, 3))


def parameters_of(graph: Graph) -> dict[str, np.ndarray]:
    """Draw parameters that hide nothing: running averages and all that starts at 0 or 1 are random too."""
    random = np.random.default_rng(0)
    values: dict[str, np.ndarray] = dict(initial_parameters(graph))
    for p in variables_of(graph):
        if p.variable.start is not None:
            positive = p.variable.name in ("weight", "running_var")
            value = random.uniform(0.5, 1.5, p.shape) if positive else random.normal(0.0, 0.1, p.shape)
            values[p.name] = value.astype(np.float32)
    return values


def images_of(graph: Graph) -> np.ndarray:
    """Draw images."""
    return np.random.default_rng(1).random((IMAGES, graph.input.height, graph.input.width, 3), np.float32)


def twin_of(name: str, graph: Graph, parameters: dict[str, np.ndarray]) -> Any:
    """Return the other rendering, in float64, with these parameters.

    Raises:
        ImportError: its library is not installed.
    """
    import torch

    if name in TORCHVISION:
        more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        twin = getattr(_torchvision(), name)(weights=None, num_classes=CLASSES, **more)
    elif name in TIMM:
        _torchvision()  # which timm imports
        import timm

        twin = timm.create_model(TIMM[name], num_classes=CLASSES)
    else:
        twin = _cifar({"resnet20": 3, "resnet56": 9}[name])
    state = {
        p.name.replace(".gamma.weight", ".gamma"): torch.from_numpy(to_pytorch(p, parameters[p.name]).copy())
        for p in variables_of(graph)
    }
    lacking = twin.load_state_dict(state, strict=False)
    assert not lacking.unexpected_keys, lacking.unexpected_keys[:5]
    assert all(key.endswith("num_batches_tracked") for key in lacking.missing_keys), lacking.missing_keys[:5]
    return twin.double().eval()


def answers_of(twin: Any, images: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what a rendering answers, and what each of its modules gave, by name; images have their channels last."""
    import torch

    given: dict[str, np.ndarray] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            given[name] = output.numpy().copy()  # the next module may overwrite it

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in twin.named_modules() if name]
    with torch.no_grad():
        answers = twin(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float64))).numpy()
    for handle in handles:
        handle.remove()
    # timm's normalizations end in an activation; what they hand to "drop", which does nothing here, is without.
    return answers, {name: given.get(f"{name}.drop", value) for name, value in given.items()}


def _torchvision() -> Any:
    """Import torchvision's models. Its own operators need not fit this build of PyTorch: no model here has any, but
    importing them asks for two.
    """
    try:
        import torchvision.models
    except RuntimeError:
        import torch

        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        _torchvision.library = library  # type: ignore[attr-defined] - it counts as long as it lives
        import torchvision.models
    return torchvision.models


def _cifar(blocks: int) -> Any:
    """Return He's network for CIFAR-10 of torchvision's blocks."""
    import torch
    from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential

    _torchvision()
    from torchvision.models.resnet import BasicBlock

    net = Sequential()
    net.add_module("conv1", Conv2d(3, 16, 3, padding=1, bias=False))
    net.add_module("bn1", BatchNorm2d(16))
    net.add_module("relu", ReLU())
    for stage, channels in enumerate((16, 32, 64), 1):
        rest = [BasicBlock(channels, channels) for _ in range(blocks - 1)]
        down = Sequential(Conv2d(channels // 2, channels, 1, 2, bias=False), BatchNorm2d(channels))
        first = BasicBlock(channels, channels) if stage == 1 else BasicBlock(channels // 2, channels, 2, down)
        net.add_module(f"layer{stage}", Sequential(first, *rest))
    net.add_module("avgpool", AdaptiveAvgPool2d(1))
    net.add_module("flatten", Flatten())
    net.add_module("fc", Linear(64, CLASSES))
    assert isinstance(net, torch.nn.Module)
    return net


def main(names: Sequence[str]) -> None:
    """Write the record of some networks, or of all, anew."""
    record = json.loads(RECORD.read_text()) if names else {}
    for name in names or NAMES:
        graph = graph_of(name)
        answers, _ = answers_of(twin_of(name, graph, parameters_of(graph)), images_of(graph))
        record[name] = answers.tolist()
    rows = ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in sorted(record.items()))
    RECORD.write_text(f"{{\n{rows}\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
