"""The protocol of engines, by PyTorch: a predictor, a training program, and the engine that makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neocog.engines.base import (
    Array,
    Images,
    State,
    StepResult,
    StepSettings,
    allowed_threads,
    check_images,
    check_layers,
    check_memory,
    output_shape,
    peak_sources,
    room_for_peaks,
)
from neocog.engines.precision import Settled, check_settled
from neocog.engines.targets import check_targets
from neocog.engines.torch.losses import mean_loss
from neocog.engines.torch.modules import SharedDropout
from neocog.engines.torch.network import build_module, restricted, tensors
from neocog.engines.torch.optimizers import kept_names, kept_numbers, make_optimizer
from neocog.engines.torch.vectors import in_our_order
from neocog.errors import EngineError, SettingError, ShapeError
from neocog.nn.graph import Graph, Node
from neocog.nn.groups import NO_CLIP, NO_PENALTY
from neocog.nn.optimizers import Optimizer
from neocog.nn.parameters import Parameter, check_parameters, from_pytorch, parameters_of, to_pytorch, variables_of
from neocog.nn.shapes import ImageShape

CHUNK = 256  # images that a prediction takes at a time


class _Network:
    """What the predictor and the training program share: the module, and the way of the images into it."""

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
        self.leaves = [self.module.get_submodule(node.name) for node in graph.nodes]
        mean, std = graph.normalisation.per_channel(graph.input.channels)
        self.mean = torch.tensor(mean, dtype=dtype, device=device)
        self.std = torch.tensor(std, dtype=dtype, device=device)

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters, in memory layout."""
        check_parameters(self.graph, parameters)
        self.module.load_state_dict(tensors(self.graph, parameters))

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

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Array],
        device: str,
        dtype: Any,
        threads: int | None,
        precision: Settled = "float32",
    ) -> None:
        super().__init__(graph, parameters, device, dtype, threads)
        self._precision = precision
        self._programs: dict[tuple[int, ...], Any] = {}

    def logits(self, images: Images, batch_size: int | None = None) -> Array:
        """Return the answers to images (N, H, W, C), uint8 or float32 in [0, 1]; see engines/base.py."""
        answers = self._outputs(images, len(self.graph.nodes) - 1)
        return answers.reshape(len(answers), *self.graph.answer_shape)

    def features(self, images: Images) -> Array:
        """Return (N, features): the flattened output of the convolutional part, in (row, column, channel) order."""
        return self._outputs(images, self.graph.feature_node)

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map; see engines/base.py."""
        images = check_images(self.graph, images)
        result, sources = room_for_peaks(self.graph, len(images)), peak_sources(self.graph)
        if not sources:
            return result

        def keep(chunk: slice, maps: tuple[Any, ...]) -> None:
            for index, found in zip(sources, maps, strict=True):
                result[index][chunk] = found.amax((2, 3)).cpu().numpy()

        self._compute(images, tuple(sources.values()), keep)
        return result

    def outputs(self, images: Images, layers: Sequence[int]) -> dict[int, Array]:
        """Return what some layers give; see engines/base.py."""
        images, layers = check_images(self.graph, images), check_layers(self.graph, layers)
        result = {index: np.empty((len(images), *output_shape(self.graph, index)), np.float32) for index in layers}

        def keep(chunk: slice, values: tuple[Any, ...]) -> None:
            for index, found in zip(layers, values, strict=True):
                mine = _in_our_layout(found, self.graph.nodes[index]).cpu().numpy()
                result[index][chunk] = mine.reshape(result[index][chunk].shape)

        if layers:
            self._compute(images, layers, keep)
        return result

    def _outputs(self, images: Images, index: int) -> Array:
        """Return what a layer gives, flattened in our order."""
        images = check_images(self.graph, images)
        node = self.graph.nodes[index]
        result = np.empty((len(images), node.output.size), np.float32)

        def keep(chunk: slice, found: tuple[Any, ...]) -> None:
            result[chunk] = _in_our_layout(found[0], node).flatten(1).cpu().numpy()

        self._compute(images, (index,), keep)
        return result

    def _compute(self, images: Images, wanted: tuple[int, ...], keep: Callable[[slice, tuple[Any, ...]], None]) -> None:
        """Compute some layers' values for some images at a time, and hand them on with the place of these images."""
        if wanted not in self._programs:
            self._programs[wanted] = restricted(self.module, self.graph, wanted).eval()
        half = torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self._precision == "bfloat16")
        with self.running(), torch.inference_mode(), half:
            for start in range(0, len(images), CHUNK):
                chunk = slice(start, start + CHUNK)
                found = self._programs[wanted](self.tensor(images[chunk]))
                keep(chunk, tuple(part.to(self.dtype) for part in found))


class TorchTrainProgram(_Network):
    """A network that learns, by PyTorch. `module` and `optimizers` are PyTorch's own objects; there are several of the
    latter where parameters follow different ones.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Array],
        settings: StepSettings,
        device: str,
        dtype: Any,
        threads: int | None,
    ) -> None:
        settings.loss.check_outputs(graph.classes)
        super().__init__(graph, parameters, device, dtype, threads)
        self.settings = settings
        self.steps = 0
        self.loss = mean_loss(settings.loss, device, dtype)
        self.weights = dict(self.module.named_parameters())
        self.rules, self.slots = settings.rules(graph), settings.slots(graph)
        self.trained = tuple(p for p in parameters_of(graph) if p.name in self.rules)
        for name, weight in self.weights.items():
            weight.requires_grad_(name in self.rules)
        self.optimizers = self._make_optimizers()
        held = self.weights | dict(self.module.named_buffers())
        self.followed = {
            f"{variable.name}/{follower.name}": (follower, held[variable.name], held[variable.name].detach().clone())
            for follower in settings.followers
            for variable in settings.followed(graph)
        }
        self._raw: dict[str, Any] = {}
        self._load_memory({}, 0)

    def _make_optimizers(self) -> list[Any]:
        """Make an optimizer for all rules that differ in the learning rate and decay alone, with a parameter group for
        each. `update` is ours: it knows the factor on the learning rate, and what the gradient gets added.
        """
        kinds: dict[Optimizer, list[dict[str, Any]]] = {}
        for rule in dict.fromkeys(self.rules.values()):
            group = {
                "params": [self.weights[name] for name, own in self.rules.items() if own == rule],
                "weight_decay": rule.optimizer.weight_decay,
                "update": rule,
            }
            kinds.setdefault(rule.optimizer.with_decay(0.0), []).append(group)
        return [make_optimizer(optimizer, groups) for optimizer, groups in kinds.items()]

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
        kind = torch.int64 if targets.dtype.kind == "i" else self.dtype
        with self.running():
            logits = _in_our_layout(self.module(self.tensor(images)), self.graph.nodes[-1])
            loss = self.loss(logits, torch.tensor(targets, dtype=kind, device=self.device))
            if self.optimizers:
                for optimizer in self.optimizers:
                    optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self._update(learning_rate)
            with torch.no_grad():
                for follower, value, own in self.followed.values():
                    own.copy_(follower.follow(own, value))
        return StepResult(float(loss.detach()), logits.detach().cpu().numpy().astype(np.float32))

    def _update(self, learning_rate: float) -> None:
        """Limit the gradients, add penalties, and take the steps."""
        clip, trained = self.settings.clip, [self.weights[name] for name in self.rules]
        if clip != NO_CLIP or self.settings.penalty != NO_PENALTY:
            self._raw = {name: self.weights[name].grad.clone() for name in self.rules}
        if clip.value is not None:
            torch.nn.utils.clip_grad_value_(trained, clip.value)
        if clip.norm is not None:
            torch.nn.utils.clip_grad_norm_(trained, clip.norm)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["update"].rate(self.steps)
                penalty = group["update"].penalty
                if penalty != NO_PENALTY:
                    for weight in group["params"]:
                        weight.grad += penalty.l1 * weight.detach().sign() + penalty.l2 * weight.detach()
            optimizer.step()

    def parameters(self) -> State:
        """Copy all that the network stores out, buffers too, in memory layout."""
        stored = self.module.state_dict()
        return {p.name: _array(p, stored[p.name]) for p in variables_of(self.graph)}

    def gradients(self) -> State:
        """Copy out the gradients of the last step (of the loss, without weight decay), named like the parameters."""
        if self.steps == 0:
            return {}
        return {p.name: _array(p, self._raw.get(p.name, self.weights[p.name].grad)) for p in self.trained}

    def optimizer_state(self) -> State:
        """Copy out the optimizer's memory: "name/memory" → array in memory layout."""
        state: State = {}
        for p in self.trained:
            for memory, name in kept_names(self.rules[p.name].optimizer).items():
                state[f"{p.name}/{memory}"] = _array(p, self._kept(p)[name])
        return state | {key: _array(self.slots[key], own) for key, (_, _, own) in self.followed.items()}

    def _kept(self, parameter: Parameter) -> Any:
        """Return what is kept beside a parameter, by PyTorch's names."""
        weight = self.weights[parameter.name]
        return next(optimizer.state[weight] for optimizer in self.optimizers if weight in optimizer.state)

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take the optimizer's memory back, and the number of steps already taken."""
        check_memory(self.slots, state)
        self.steps = steps
        for key, (_, _, own) in self.followed.items():
            own.copy_(torch.tensor(to_pytorch(self.slots[key], state[key])))
        self._load_memory(state, steps)

    def _load_memory(self, state: Mapping[str, Array], steps: int) -> None:
        """Take the optimizer's memory; zeros for what is not given."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    optimizer.state[weight] = {}
        for p in self.trained:
            own, kept = self.rules[p.name].optimizer, self._kept(p)
            for memory, name in kept_names(own).items():
                kept[name] = torch.zeros_like(self.weights[p.name], requires_grad=False)
                if state:
                    kept[name].copy_(torch.tensor(to_pytorch(p, state[f"{p.name}/{memory}"]), dtype=self.dtype))
            kept.update(kept_numbers(own, steps))


def _in_our_layout(x: Any, node: Node) -> Any:
    """Turn what a layer gives from (N, C, H, W) to (N, H, W, C), or a flattened image to (row, column, channel)."""
    return x.permute(0, 2, 3, 1) if isinstance(node.output, ImageShape) else in_our_order(x, node.output)


def _array(parameter: Parameter, tensor: Any) -> Array:
    value = from_pytorch(parameter, tensor.detach().cpu().contiguous().numpy())
    return np.array(value, np.float32)


class TorchEngine:
    """PyTorch.

    Arguments:
        device: "cpu", "cuda", or any other that PyTorch knows.
        dtype: "float32" or "float64"; the arrays at the edge are float32 in both.
        precision: of predictions, "float32" or "bfloat16": PyTorch's autocast.

    Raises:
        EngineError: PyTorch has no such device here.
        SettingError: it does not compute with this dtype or precision.
    """

    name = "torch"

    def __init__(self, device: str = "cpu", dtype: str = "float32", precision: Settled = "float32") -> None:
        if dtype not in ("float32", "float64"):
            raise SettingError(f'dtype must be "float32" or "float64", got {dtype!r}')
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built with CUDA
            raise EngineError(
                f"the torch engine cannot run on the device {device!r}: {str(error).splitlines()[0]}",
                hint='use device="cpu", or install a PyTorch build for this device',
            ) from error
        if check_settled(precision) == "bfloat16" and dtype != "float32":
            raise SettingError(f'precision="bfloat16" needs dtype="float32", got {dtype!r}')
        self.device = device
        self.dtype = getattr(torch, dtype)
        self.precision: Settled = precision

    def predictor(self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None) -> TorchPredictor:
        """Make a network that answers, on `threads` threads; None: as many as PyTorch is set to, if it may use them."""
        return TorchPredictor(graph, parameters, self.device, self.dtype, threads, self.precision)

    def train_program(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> TorchTrainProgram:
        """Make a network that learns."""
        return TorchTrainProgram(graph, parameters, settings, self.device, self.dtype, threads)
