"""A network that learns, by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neocog.engines.base import Array, Images, State, StepResult, StepSettings, check_images, check_memory
from neocog.engines.targets import check_targets
from neocog.engines.torch.compiling import CompiledNetwork, compile_mode
from neocog.engines.torch.dropout import Draw, SharedDropout
from neocog.engines.torch.held import HeldNetwork, Means, in_our_layout
from neocog.engines.torch.losses import summed_loss
from neocog.engines.torch.many import Many
from neocog.engines.torch.optimizers import kept_names, kept_numbers, make_optimizer
from neocog.errors import ShapeError
from neocog.nn.graph import Graph
from neocog.nn.groups import NO_CLIP, NO_PENALTY
from neocog.nn.optimizers import Optimizer
from neocog.nn.parameters import Parameter, from_pytorch, parameters_of, to_pytorch, variables_of

AHEAD = 2  # steps that a GPU may have before it; more would only take memory


class TorchTrainProgram(HeldNetwork):
    """A network that learns, by PyTorch. `module` and `optimizers` are PyTorch's own objects; there are several of the
    latter where parameters follow different ones.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Array],
        settings: StepSettings,
        means: Means,
        threads: int | None,
    ) -> None:
        settings.loss.check_outputs(graph.classes)
        super().__init__(graph, parameters, means, threads)
        self.settings = settings
        self.steps = 0
        self.ahead = AHEAD if self.transfer.apart else 0
        self.loss = summed_loss(settings.loss, self.device, self.dtype)
        self.weights = dict(self.module.named_parameters())
        self.rules, self.slots = settings.rules(graph), settings.slots(graph)
        self.trained = tuple(p for p in parameters_of(graph) if p.name in self.rules)
        for name, weight in self.weights.items():
            weight.requires_grad_(name in self.rules)
        self.dropouts = [leaf for leaf in self.leaves if isinstance(leaf, SharedDropout)]
        for dropout in self.dropouts:
            dropout.share(settings.batch_size, self.device)
        self.optimizers = self._make_optimizers()
        held = self.weights | dict(self.module.named_buffers())
        names = [variable.name for variable in settings.followed(graph)] if settings.followers else []
        self.followed = {
            follower.name: (follower, {name: held[name].detach() for name in names}) for follower in settings.followers
        }
        self.own = {
            follower.name: {name: held[name].detach().clone() for name in names} for follower in settings.followers
        }
        self._raw: dict[str, Any] = {}
        self._load_memory({}, 0)
        self.network = self._parallel()
        mode = compile_mode(means, one_pass=self._one_pass())
        if mode is not None:
            self.network = CompiledNetwork(self.network, mode, self._most_at_once())

    def _parallel(self) -> Any:
        """Return the network as it is called in a step."""
        return self.module

    def _one_pass(self) -> bool:
        """Return whether a step is one pass through the network, by one process."""
        return True

    def _most_at_once(self) -> int:
        """Return how many images of a full batch go through the network at once."""
        return self.settings.batch_size

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
        return [make_optimizer(optimizer, groups, fused=self.means.fused) for optimizer, groups in kinds.items()]

    def step(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> StepResult:
        """Take one optimizer step on images (N, H, W, C), N from 1 to the batch size."""
        return self.begin(images, targets, learning_rate)()

    def begin(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> Callable[[], StepResult]:
        """Begin a step, and return who tells what it gave; see `neocog.engines.base.AheadProgram`."""
        images = check_images(self.graph, images)
        targets = check_targets(self.graph, self.settings.loss, targets, len(images))
        if not 1 <= len(images) <= self.settings.batch_size:
            raise ShapeError(f"a step takes 1 to {self.settings.batch_size} images, got {len(images)}")
        return self._begin(images, targets, learning_rate, len(images))

    def _begin(
        self, images: Images, targets: NDArray[np.generic], learning_rate: float, whole: int
    ) -> Callable[[], StepResult]:
        self.steps += 1
        self.module.train()
        kind = torch.int64 if targets.dtype.kind == "i" else self.dtype
        with self.running():
            x, y = self.tensor(images), self.transfer.sent(targets).to(kind)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss, logits = self._learn(x, y, whole)
            if self.optimizers:
                self._update(learning_rate)
            self._follow()
            read = self.transfer.fetched(loss, logits)

        def told() -> StepResult:
            loss, logits = read()
            return StepResult(float(loss), logits.astype(np.float32, copy=False))

        return told

    def _learn(self, x: Any, y: Any, whole: int) -> tuple[Any, Any]:
        """Find the gradients, and return the mean loss over the images of all processes, and the logits of these."""
        self._draw([(0, len(x))])
        logits = self._logits(x)
        loss = self.loss.mean(logits, y)
        if self.optimizers:
            loss.backward()
        return loss, logits

    def _logits(self, x: Any) -> Any:
        with self.means.rounding():
            found = self.network(x)
        return in_our_layout(found.to(self.dtype), self.graph.nodes[-1])

    def _draw(self, slices: Draw) -> None:
        """Tell every Dropout what it drops of the images that follow."""
        if not self.dropouts:
            return
        drawn = [dropout.drawn(self.settings.seed, self.steps, slices) for dropout in self.dropouts]
        sent = self.transfer.sent(np.array(drawn))
        for dropout, (keys, places) in zip(self.dropouts, sent, strict=True):
            dropout.keys[: len(keys)].copy_(keys)
            dropout.places[: len(places)].copy_(places)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _follow(self) -> None:
        for name, (follower, values) in self.followed.items():
            own = list(self.own[name].values())
            if own:
                torch._foreach_copy_(own, follower.follow(Many(own), Many(list(values.values()))).tensors)

    def _update(self, learning_rate: float) -> None:
        """Limit the gradients, add penalties, and take the steps."""
        clip, trained = self.settings.clip, [self.weights[name] for name in self.rules]
        if self.settings.keeps_gradients and (clip != NO_CLIP or self.settings.penalty != NO_PENALTY):
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
        return self._copied({p.name: (p, stored[p.name]) for p in variables_of(self.graph)})

    def gradients(self) -> State:
        """Copy out the gradients of the last step (of the loss, without weight decay), named like the parameters."""
        if self.steps == 0:
            return {}
        return self._copied({p.name: (p, self._raw.get(p.name, self.weights[p.name].grad)) for p in self.trained})

    def optimizer_state(self) -> State:
        """Copy out the optimizer's memory: "name/memory" → array in memory layout."""
        kept = {
            f"{p.name}/{memory}": (p, self._kept(p)[name])
            for p in self.trained
            for memory, name in kept_names(self.rules[p.name].optimizer).items()
        }
        return self._copied(kept | {key: (self.slots[key], value) for key, value in self._followed_values()})

    def _followed_values(self) -> Sequence[tuple[str, Any]]:
        return [(f"{name}/{slot}", value) for slot, own in self.own.items() for name, value in own.items()]

    def _copied(self, kept: Mapping[str, tuple[Parameter, Any]]) -> State:
        """Return tensors as arrays in memory layout; all of them are asked for before the first is waited for."""
        arrays = self.transfer.fetched(*(tensor for _, tensor in kept.values()))()
        return {
            name: np.array(from_pytorch(parameter, array), np.float32)
            for (name, (parameter, _)), array in zip(kept.items(), arrays, strict=True)
        }

    def _kept(self, parameter: Parameter) -> Any:
        """Return what is kept beside a parameter, by PyTorch's names."""
        weight = self.weights[parameter.name]
        return next(optimizer.state[weight] for optimizer in self.optimizers if weight in optimizer.state)

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take the optimizer's memory back, and the number of steps already taken."""
        check_memory(self.slots, state)
        self.steps = steps
        for key, own in self._followed_values():
            own.copy_(torch.tensor(to_pytorch(self.slots[key], state[key])))
        self._load_memory(state, steps)

    def _load_memory(self, state: Mapping[str, Array], steps: int) -> None:
        """Take the optimizer's memory; zeros for what is not given."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    optimizer.state[weight] = {}
        for p in self.trained:
            own, kept, weight = self.rules[p.name].optimizer, self._kept(p), self.weights[p.name]
            for memory, name in kept_names(own).items():
                kept[name] = torch.zeros_like(weight, requires_grad=False)
                if state:
                    kept[name].copy_(torch.tensor(to_pytorch(p, state[f"{p.name}/{memory}"]), dtype=self.dtype))
            kept.update(kept_numbers(own, steps, weight.device if self.means.fused else None))
