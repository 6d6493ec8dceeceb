"""The native engine: what it compiles for, and what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from neocog.engines.base import Array, StepSettings, allowed_threads
from neocog.engines.native.calls import Compiler
from neocog.engines.native.gradient import NativeGradientProgram
from neocog.engines.native.prediction import NativePredictor
from neocog.engines.native.training import NativeTrainProgram
from neocog.engines.precision import check_settled
from neocog.jit.cache import ObjectCache
from neocog.jit.host import host_target, with_tiles
from neocog.jit.team import Team
from neocog.nn.graph import Graph
from neocog.nn.scales import Scales
from neocog.plan.algorithm import Algorithm
from neocog.plan.blocked import Precision
from neocog.target.processor import Target


class NativeEngine:
    """Compiles networks for this machine, or for another `target` whose instructions it has.

    `algorithm` overrides the rule by which convolutions are computed: "direct" or "winograd" (where possible).
    `precision` is what factors of products are rounded to, "float32" or "bfloat16"; see `neocog.engines.precision`.

    Raises:
        SettingError: the precision is neither.
    """

    name = "native"

    def __init__(
        self,
        target: Target | None = None,
        cache: ObjectCache | None = None,
        algorithm: Algorithm = "auto",
        precision: Precision = "float32",
    ) -> None:
        check_settled(precision)
        self._is_given = target is not None
        self.target = target or (host_target() if precision == "float32" else with_tiles(host_target()))
        self.cache = cache or ObjectCache()
        self.algorithm = algorithm
        self.precision: Precision = precision

    @property
    def compiler(self) -> Compiler:
        """What this engine's programs are made with."""
        return Compiler(self.target, self.cache, self.algorithm, self.precision)

    def predictor(self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None) -> NativePredictor:
        """Make a network that answers; see engines/base.py."""
        return NativePredictor(self.compiler, graph, parameters, Team(allowed_threads(threads), self.cache))

    def int8_predictor(
        self, graph: Graph, parameters: Mapping[str, Array], scales: Scales, threads: int | None = None
    ) -> NativePredictor:
        """Make a network that answers in int8, whatever the engine's precision is; see engines/base.py."""
        target = self.target if self._is_given else with_tiles(self.target)
        compiler = replace(self.compiler, target=target, precision="int8")
        return NativePredictor(compiler, graph, parameters, Team(allowed_threads(threads), self.cache), scales)

    def train_program(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> NativeTrainProgram:
        """Make a network that learns; see engines/base.py."""
        return NativeTrainProgram(
            self.compiler, graph, parameters, settings, Team(allowed_threads(threads), self.cache)
        )

    def gradient_program(
        self, graph: Graph, parameters: Mapping[str, Array], value: int, last: int, threads: int | None = None
    ) -> NativeGradientProgram:
        """Make a way back; see engines/base.py. It computes with float32, whatever the precision of predictions is."""
        team = Team(allowed_threads(threads), self.cache)
        return NativeGradientProgram(self.compiler, graph, parameters, value, last, team)
