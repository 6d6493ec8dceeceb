"""A gradient that goes back through a network by compiled code, from what its last layer gives to one value."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from neocog.engines.base import Array, Images, check_images, output_shape, value_shape
from neocog.engines.native.calls import Compiler, ReadAnswers, make, set_images
from neocog.engines.native.parameters import write_parameter
from neocog.errors import ShapeError
from neocog.forks import tell_of_forks
from neocog.jit.executable import Executable, aligned_zeros
from neocog.jit.team import Team
from neocog.nn.graph import Graph
from neocog.nn.parameters import check_parameters, variables_of
from neocog.nn.rewrite import SOUGHT, fold_norms, with_sought
from neocog.plan.planner import plan_gradient
from neocog.plan.program import GRADIENT


class NativeGradientProgram:
    """A compiled way back; see `GradientProgram` in engines/base.py."""

    def __init__(
        self,
        compiler: Compiler,
        graph: Graph,
        parameters: Mapping[str, Array],
        value: int,
        last: int,
        team: Team,
    ) -> None:
        check_parameters(graph, parameters)
        apart = fold_norms(graph, apart=True)  # so that `value` may be what a convolution gives to its normalization
        rewritten = with_sought(apart.graph, value, last)
        program = plan_gradient(rewritten, compiler.target, compiler.algorithm)
        assert program.given is not None
        self._graph, self._team = graph, team
        self._shapes = output_shape(graph, last), value_shape(graph, value)
        layout = program.parameters
        state = aligned_zeros(layout.size * 4)
        self._executable = make(compiler.cache, program, state, team, Executable)
        known = {**apart.fold(parameters), f"{SOUGHT}.weight": None}
        for variable in variables_of(rewritten):
            stored = known[variable.name]
            ones = np.ones(variable.shape, np.float32)
            write_parameter(state.view(np.float32), layout, variable, ones if stored is None else stored)
        self._executable.prepare()
        self._given = self._executable.view(program.given)
        self._output, self._gradient = (
            ReadAnswers(self._executable, program.outputs[name]) for name in (rewritten.nodes[-1].name, GRADIENT)
        )
        self._lock = threading.Lock()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Open the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    def run(self, images: Images, gradient: Array) -> tuple[Array, Array]:
        """Return the output, and the gradient of the value; see engines/base.py."""
        images = check_images(self._graph, images)
        of_output, of_value = self._shapes
        if len(images) != 1 or gradient.shape != (1, *of_output):
            wanted = f"one image, and a gradient of the shape {(1, *of_output)}"
            raise ShapeError(f"a gradient goes back for {wanted}, got {len(images)} and {gradient.shape}")
        with self._lock:
            self._given[...] = gradient.reshape(self._given.shape)
            set_images(self._executable, images)
            self._executable.run(self._team)
            return self._output.copied(1).reshape(1, *of_output), self._gradient.copied(1).reshape(1, *of_value)
