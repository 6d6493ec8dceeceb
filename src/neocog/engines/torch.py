"""The PyTorch engine: the same network as a torch.nn.Sequential, on a processor or a GPU.

Importing this file imports PyTorch; `neocog.engines.get_engine` does so only when this engine is asked for.
Activations are (N, C, H, W) in PyTorch's channels_last memory format, so the images' bytes are not moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import (
    Array,
    Images,
    State,
    StepResult,
    StepSettings,
    allowed_threads,
    check_images,
    check_memory,
    check_targets,
    peak_sources,
    room_for_peaks,
)
from neocog.errors import EngineError, SettingError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy, Loss, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer
from neocog.nn.parameters import Parameter, check_parameters, from_pytorch, parameters_of, to_pytorch
from neocog.nn.random import dropout_bits, dropout_key, dropout_threshold
from neocog.nn.shapes import ImageShape, VectorShape

try:
    import torch
    import torch.nn.functional as F  # noqa: N812 (the name that all PyTorch code uses)
except ImportError as error:
    raise EngineError(
        "the torch engine needs PyTorch, which is not installed", hint="pip install 'neocog[torch]'"
    ) from error

CHUNK = 256  # images that a prediction takes at a time


class PaddedConv2d(torch.nn.Conv2d):  # type: ignore[misc]  # PyTorch is untyped here
    """A convolution that pads by itself: "same" can need one pixel more after than before, which Conv2d cannot do.

    A padding module beside it would shift the numbering of the parameters' names.
    """

    def __init__(self, layer: Conv2d, image: ImageShape) -> None:
        window = layer.window_over(image)
        vertical, horizontal = window.vertical, window.horizontal
        even = vertical.before == vertical.after and horizontal.before == horizontal.after
        super().__init__(
            image.channels,
            layer.channels,
            (vertical.kernel, horizontal.kernel),
            stride=(vertical.stride, horizontal.stride),
            padding=(vertical.before, horizontal.before) if even else 0,
            dilation=(vertical.dilation, horizontal.dilation),
            bias=layer.bias,
        )
        # F.pad counts from the last axis: left, right, top, bottom.
        around = (horizontal.before, horizontal.after, vertical.before, vertical.after)
        self.around = None if even else around

    def forward(self, x: Any) -> Any:
        """Pad x (N, C, H, W), then convolve."""
        return super().forward(x if self.around is None else F.pad(x, self.around))


class SharedDropout(torch.nn.Dropout):  # type: ignore[misc]
    """A Dropout that keeps the same values as every other engine while `draw` is set, and PyTorch's own otherwise."""

    def __init__(self, rate: float, node: Node) -> None:
        super().__init__(rate)
        self.rate = rate
        self.node = node
        self.draw: tuple[int, int] | None = None  # seed, step

    def forward(self, x: Any) -> Any:
        """Drop while training; give x as it is otherwise."""
        if self.draw is None or not self.training:
            return super().forward(x)
        bits = dropout_bits(dropout_key(*self.draw, self.node.stream), x.numel())
        kept = torch.from_numpy(bits >= dropout_threshold(self.rate)).to(x.device)
        # The bits run in (row, column, channel) order, PyTorch's tensors in (channel, row, column) order.
        shape = self.node.input
        image = shape.image if isinstance(shape, VectorShape) else shape
        if image is not None:
            kept = kept.view(len(x), image.height, image.width, image.channels).permute(0, 3, 1, 2)
        return torch.where(kept.reshape(x.shape), x * (1.0 / (1.0 - self.rate)), 0.0)


def build_module(graph: Graph, parameters: Mapping[str, Array]) -> Any:
    """Write a network as a torch.nn.Sequential that takes normalised images (N, C, H, W).

    Its parameters carry the names of our state dict, so that one loads into the other as is.

    Arguments:
        graph: the network.
        parameters: name → array, in memory layout.
    """
    check_parameters(graph, parameters)
    nodes = {node.name: node for node in graph.nodes}
    assert isinstance(graph.net, Sequential)
    module = _sequential(graph.net, "", nodes)
    module.load_state_dict(_tensors(graph, parameters))
    return module


def _sequential(net: Sequential, prefix: str, nodes: Mapping[str, Node]) -> Any:
    modules = []
    for position, layer in enumerate(net.layers):
        name = f"{prefix}{position}"
        if isinstance(layer, Sequential):
            modules.append(_sequential(layer, f"{name}.", nodes))
        else:
            modules.append(_module(layer, nodes[name]))
    return torch.nn.Sequential(*modules)


def _module(layer: Layer, node: Node) -> Any:
    match layer:
        case Conv2d():
            assert isinstance(node.input, ImageShape)  # trace refuses anything else
            return PaddedConv2d(layer, node.input)
        case MaxPool2d():
            return torch.nn.MaxPool2d(layer.window, layer.stride, layer.padding)
        case AvgPool2d():
            return torch.nn.AvgPool2d(layer.window, layer.stride, layer.padding, count_include_pad=True)
        case Linear():
            return torch.nn.Linear(node.input.size, layer.features, bias=layer.bias)
        case ReLU():
            return torch.nn.ReLU()
        case Flatten():
            return torch.nn.Flatten()
        case Dropout():
            return SharedDropout(layer.rate, node)
    raise EngineError(f"{node.title} is unknown to the torch engine")


def _tensors(graph: Graph, parameters: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
    return {p.name: torch.tensor(to_pytorch(p, parameters[p.name])) for p in parameters_of(graph)}


class _Network:
    """What the predictor and the stepper share: the module, and the way of the images into it."""

    def __init__(
        self, graph: Graph, parameters: Mapping[str, Array], device: str, dtype: Any, threads: int | None
    ) -> None:
        self.graph = graph
        self.device = device
        self.dtype = dtype
        self.threads = None if threads is None else allowed_threads(threads)
        self.most_threads = allowed_threads()
        self.on_gpu = device.startswith("cuda")
        # Converted by `to`, then loaded once more: float64 parameters would be rounded by a float32 module.
        self.module = build_module(graph, parameters).to(device, dtype, memory_format=torch.channels_last)
        self.load(parameters)
        self.leaves = [m for m in self.module.modules() if not isinstance(m, torch.nn.Sequential)]
        mean, std = graph.normalisation.per_channel(graph.input.channels)
        self.mean = torch.tensor(mean, dtype=dtype, device=device)
        self.std = torch.tensor(std, dtype=dtype, device=device)

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters, in memory layout."""
        check_parameters(self.graph, parameters)
        self.module.load_state_dict(_tensors(self.graph, parameters))

    def tensor(self, images: Images) -> Any:
        """Normalise images (N, H, W, C) into (N, C, H, W), channels last in memory."""
        writable = images if images.flags.writeable else images.copy()  # PyTorch warns of read-only memory
        x = torch.from_numpy(writable).to(self.device).to(self.dtype)
        if images.dtype == np.uint8:
            x = x / 255
        return ((x - self.mean) / self.std).permute(0, 3, 1, 2)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Compute on `threads` threads, and in true float32: no shortened mantissas on a GPU."""
        threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
        shortened = cudnn.allow_tf32 if self.on_gpu else False
        torch.set_num_threads(self.threads or min(threads, self.most_threads))
        if shortened:
            cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            if shortened:
                cudnn.allow_tf32 = True


class TorchPredictor(_Network):
    """A network that answers, by PyTorch."""

    def logits(self, images: Images) -> Array:
        """Return (N, outputs) for images (N, H, W, C), uint8 or float32 in [0, 1]; N may be 0."""
        return self._outputs(images, len(self.leaves) - 1)

    def features(self, images: Images) -> Array:
        """Return (N, features): the flattened output of the convolutional part, in (row, column, channel) order."""
        return self._outputs(images, self.graph.feature_node)

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map; see engines/base.py."""
        images = check_images(self.graph, images)
        result = room_for_peaks(self.graph, len(images))
        layer_of = {source: index for index, source in peak_sources(self.graph).items()}
        self.module.eval()
        with self.running(), torch.inference_mode():
            for start in range(0, len(images), CHUNK):
                x = self.tensor(images[start : start + CHUNK])
                for source, leaf in enumerate(self.leaves[: max(layer_of, default=-1) + 1]):
                    x = leaf(x)
                    if source in layer_of:
                        result[layer_of[source]][start : start + CHUNK] = x.amax((2, 3)).cpu().numpy()
        return result

    def _outputs(self, images: Images, index: int) -> Array:
        images = check_images(self.graph, images)
        result = np.empty((len(images), self.graph.nodes[index].output.size), np.float32)
        self.module.eval()
        with self.running(), torch.inference_mode():
            for start in range(0, len(images), CHUNK):
                x = self.tensor(images[start : start + CHUNK])
                for leaf in self.leaves[: index + 1]:
                    x = leaf(x)
                result[start : start + CHUNK] = _in_our_order(x, self.graph.nodes[index]).cpu().numpy()
        return result


class TorchStepper(_Network):
    """A network that learns, by PyTorch. `module` and `optimizer` are PyTorch's own objects."""

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Array],
        settings: StepSettings,
        device: str,
        dtype: Any,
        threads: int | None,
    ) -> None:
        super().__init__(graph, parameters, device, dtype, threads)
        self.settings = settings
        self.steps = 0
        self.loss = _loss(settings.loss)
        self.weights = dict(self.module.named_parameters())
        self.rules = settings.rules(graph)
        self.trained = tuple(p for p in parameters_of(graph) if p.name in self.rules)
        for name, weight in self.weights.items():
            weight.requires_grad_(name in self.rules)
        # PyTorch refuses an optimizer of nothing; a network without parameters still has a loss.
        self.optimizer = _optimizer(settings.optimizer, self._param_groups()) if self.rules else None

    def _param_groups(self) -> list[dict[str, Any]]:
        """Return PyTorch's parameter groups: one for each rule. `rate` is ours: the factor on the learning rate."""
        groups = dict.fromkeys(self.rules.values())
        return [
            {
                "params": [self.weights[name] for name, own in self.rules.items() if own == rule],
                "weight_decay": rule.optimizer.weight_decay,
                "rate": rule.learning_rate,
            }
            for rule in groups
        ]

    def step(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> StepResult:
        """Take one optimizer step on images (N, H, W, C), N from 1 to the batch size."""
        images = check_images(self.graph, images)
        targets = check_targets(self.graph, self.settings.loss, targets, len(images))
        if not 1 <= len(images) <= self.settings.batch_size:
            raise ShapeError(f"a step takes 1 to {self.settings.batch_size} images, got {len(images)}")
        self.steps += 1
        self.module.train()
        for leaf in self.leaves:
            if isinstance(leaf, SharedDropout):
                leaf.draw = (self.settings.seed, self.steps)
        kind = torch.int64 if isinstance(self.settings.loss, CrossEntropy) else self.dtype
        with self.running():
            logits = _in_our_order(self.module(self.tensor(images)), self.graph.nodes[-1])
            loss = self.loss(logits, torch.tensor(targets, dtype=kind, device=self.device))
            if self.optimizer is not None:
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate * group["rate"]
                self.optimizer.step()
        return StepResult(float(loss.detach()), logits.detach().cpu().numpy().astype(np.float32))

    def parameters(self) -> State:
        """Copy the parameters out, in memory layout."""
        return {p.name: _array(p, self.weights[p.name]) for p in parameters_of(self.graph)}

    def gradients(self) -> State:
        """Copy out the gradients of the last step (of the loss, without weight decay), named like the parameters."""
        if self.steps == 0:
            return {}
        return {p.name: _array(p, self.weights[p.name].grad) for p in self.trained}

    def optimizer_state(self) -> State:
        """Copy out the optimizer's memory: "name/memory" → array in memory layout."""
        state: State = {}
        names = RULES[type(self.settings.optimizer)].memory
        for p in self.trained:
            kept = self.optimizer.state.get(self.weights[p.name], {}) if self.optimizer else {}
            for memory in self.settings.optimizer.memory:
                value = kept.get(names[memory])
                state[f"{p.name}/{memory}"] = np.zeros(p.shape, np.float32) if value is None else _array(p, value)
        return state

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take the optimizer's memory back, and the number of steps already taken."""
        check_memory(self.trained, self.settings.optimizer.memory, state)
        self.steps = steps
        rule = RULES[type(self.settings.optimizer)]
        for p in self.trained:
            weight = self.weights[p.name]
            kept: dict[str, Any] = {}
            for memory in self.settings.optimizer.memory:
                value = torch.tensor(to_pytorch(p, state[f"{p.name}/{memory}"]), dtype=self.dtype, device=self.device)
                kept[rule.memory[memory]] = torch.empty_like(weight).copy_(value)
            if rule.counts:
                kept["step"] = torch.tensor(float(steps))
            if self.optimizer is not None:
                self.optimizer.state[weight] = kept


def _in_our_order(x: Any, node: Node) -> Any:
    """Turn what a layer gives, if it is a flattened image, from (channel, row, column) to (row, column, channel)."""
    image = node.output.image if isinstance(node.output, VectorShape) else None
    if image is None:
        return x
    return x.reshape(-1, image.channels, image.height, image.width).permute(0, 2, 3, 1).flatten(1)


def _array(parameter: Parameter, tensor: Any) -> Array:
    value = from_pytorch(parameter, tensor.detach().cpu().contiguous().numpy())
    return np.array(value, np.float32)


def _loss(loss: Loss) -> Any:
    if isinstance(loss, CrossEntropy):
        return torch.nn.CrossEntropyLoss(label_smoothing=loss.label_smoothing)
    if isinstance(loss, MeanSquaredError):
        return torch.nn.MSELoss()
    raise SettingError(f"unknown loss {loss!r}")


@dataclass(frozen=True, slots=True)
class OptimizerRule:
    """How PyTorch runs one of our optimizers.

    Arguments:
        kind: PyTorch's class.
        settings: its arguments, from our optimizer.
        memory: our names of what is kept beside each parameter → PyTorch's.
        counts: whether the number of steps is kept there, too.
    """

    kind: Any
    settings: Callable[[Any], dict[str, object]]
    memory: dict[str, str]
    counts: bool = False


def _sgd(optimizer: SGD) -> dict[str, object]:
    return {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov}


def _adam(optimizer: Adam) -> dict[str, object]:
    return {"betas": (optimizer.beta1, optimizer.beta2), "eps": optimizer.epsilon}


_MEANS = {"mean": "exp_avg", "square": "exp_avg_sq"}
RULES: dict[type, OptimizerRule] = {
    SGD: OptimizerRule(torch.optim.SGD, _sgd, {"momentum": "momentum_buffer"}),
    Adam: OptimizerRule(torch.optim.Adam, _adam, _MEANS, counts=True),
    AdamW: OptimizerRule(torch.optim.AdamW, _adam, _MEANS, counts=True),
}


def _optimizer(optimizer: Optimizer, groups: list[dict[str, Any]]) -> Any:
    rule = RULES.get(type(optimizer))
    if rule is None:
        raise SettingError(f"unknown optimizer {optimizer!r}")
    return rule.kind(groups, optimizer.learning_rate, **rule.settings(optimizer))


class TorchEngine:
    """PyTorch.

    Arguments:
        device: "cpu", "cuda", or any other that PyTorch knows.
        dtype: "float32" or "float64"; the arrays at the edge are float32 in both.

    Raises:
        EngineError: PyTorch has no such device here.
    """

    name = "torch"

    def __init__(self, device: str = "cpu", dtype: str = "float32") -> None:
        if dtype not in ("float32", "float64"):
            raise SettingError(f'dtype must be "float32" or "float64", got {dtype!r}')
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built with CUDA
            raise EngineError(
                f"the torch engine cannot run on the device {device!r}: {str(error).splitlines()[0]}",
                hint='use device="cpu", or install a PyTorch build for this device',
            ) from error
        self.device = device
        self.dtype = getattr(torch, dtype)

    def predictor(self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None) -> TorchPredictor:
        """Make a network that answers, on `threads` threads; None: as many as PyTorch is set to, if it may use them."""
        return TorchPredictor(graph, parameters, self.device, self.dtype, threads)

    def stepper(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> TorchStepper:
        """Make a network that learns."""
        return TorchStepper(graph, parameters, settings, self.device, self.dtype, threads)
