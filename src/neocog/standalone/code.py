"""A network as an object file: planned for one image, its weights constant, compiled for a named processor."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neocog.emit.choice import LEVELS, choice_text, version_of
from neocog.emit.resize import Fitting
from neocog.emit.standalone import Ending, Look, arena_bytes, emit_shared, emit_standalone
from neocog.errors import EngineError, SettingError
from neocog.jit.ahead import Form, compile_ahead, compile_together
from neocog.jit.host import host_target
from neocog.model.network import Network
from neocog.model.thresholds import HALF
from neocog.model.views import VIEWS
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales
from neocog.nn.shapes import VectorShape
from neocog.plan.blocked import Precision
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS
from neocog.plan.standalone import stand_alone
from neocog.standalone.elf import ObjectFile, read_object, with_any_float_abi
from neocog.standalone.weights import constants_of
from neocog.target.ahead import AHEAD, AheadTarget
from neocog.target.processor import Target

ABI_VERSION = 1
NATIVE = "native"
TARGETS = (NATIVE, *AHEAD)
MAY_CALL = frozenset({"memcpy", "memmove", "memset", "memcmp"})
"""What a C compiler may call on its own, and so every C program has: freestanding ones too (GCC's manual, 2.1)."""


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled network.

    Arguments:
        name: in C, without the prefix.
        target_name, target: what it is for.
        content: the file: an object, assembly or LLVM IR.
        form: which of them.
        arena_bytes: working memory of a call.
        constant_bytes: weights.
        fitting: how it brings pictures to the network's size; None: it does not.
        file: of an ELF object: what is in it.
        precision: what it computes in.
    """

    name: str
    target_name: str
    target: AheadTarget
    content: bytes
    form: Form
    arena_bytes: int
    constant_bytes: int
    fitting: Fitting | None
    file: ObjectFile | None = None
    precision: Precision = "float32"

    @property
    def prefix(self) -> str:
        """What begins the names of its functions."""
        return f"neocog_{self.name}"


def c_name(text: str) -> str:
    """Return a text as part of a C identifier.

    Raises:
        SettingError: nothing is left of it.

    >>> c_name("My photos-2")
    'my_photos_2'
    """
    name = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", text.lower())).strip("_")
    if not name:
        raise SettingError(f"{text!r} has no letter of a to z and no digit for a name in C", hint="say --name NAME")
    return name


def ahead_target(name: str) -> AheadTarget:
    """Return a processor by its name; "native" is that of this machine.

    Raises:
        SettingError: there is no such name.
    """
    if name == NATIVE:
        here = host_target()
        return AheadTarget(here, f"this machine's processor ({here.cpu}) and those that have all of its instructions")
    if name not in AHEAD:
        raise SettingError(f"there is no target {name!r}", hint=f"targets are {', '.join(TARGETS)}")
    return AHEAD[name]


def code_of(network: Network, target_name: str, name: str, form: Form = "object", scales: Scales | None = None) -> Code:
    """Compile a network.

    Arguments:
        network: what to compile, with its temperature, views and thresholds.
        target_name: one of `TARGETS`.
        name: what begins the names of its functions, behind "neocog_".
        form: an object file, assembly, or LLVM IR.
        scales: of the network's rounded values, to compute in int8; None: in float32.

    Raises:
        SettingError: there is no such target, the scales are those of another network, the network ends in an image,
            or the name of a class holds a NUL.
        EngineError: LLVM cannot compile it, or it would need a library there.
    """
    ahead = ahead_target(target_name)
    if not isinstance(network.graph.output, VectorShape):
        raise SettingError(
            f"an object file gives one probability for each class, and this network ends in {network.graph.output}",
            hint="neocog export --to onnx writes such a network",
        )
    for label in network.class_names:
        if "\0" in label:
            raise SettingError(
                f"the name of the class {label!r} holds a NUL, where C would end it", hint="rename the class"
            )
    fitting = fitting_of(network, ahead)
    content, arena, constants = _compiled(network, ahead, f"neocog_{name}", form, scales, fitting)
    if form == "object" and (ahead.target.architecture, ahead.target.word_bits) == ("arm", 32):
        content = with_any_float_abi(content)
    file = read_object(content) if form == "object" else None
    if file is not None and set(file.undefined) - MAY_CALL:
        raise EngineError(
            f"for {target_name} this network needs {', '.join(sorted(set(file.undefined) - MAY_CALL))} of a library",
            hint="choose another --target",
        )
    if file is not None and file.variables:
        raise EngineError(
            f"for {target_name} this network would keep {file.variables:,} bytes from call to call",
            hint="this is a bug in neocog: please report it",
        )
    precision: Precision = "float32" if scales is None else "int8"
    return Code(name, target_name, ahead, content, form, arena, constants, fitting, file, precision)


def fitting_of(network: Network, ahead: AheadTarget) -> Fitting | None:
    """Return how pictures are brought to a network's size.

    None where nothing does: for networks of other pixels than pictures have, for processors that do not compute in
    float64, and for browsers, whose script does.
    """
    shape, rule = network.graph.input, network.resize
    if shape.channels not in (1, 3) or ahead.small or ahead.target.architecture == "wasm":
        return None
    return Fitting(rule.kind, rule.interpolation, rule.part, rule.side, shape)


def _compiled(
    network: Network, ahead: AheadTarget, symbol: str, form: Form, scales: Scales | None, fitting: Fitting | None
) -> tuple[bytes, int, int]:
    """Return a file, the bytes of memory that a call works in, and those of all constants."""
    folded = fold_norms(network.graph)
    if scales is not None:
        scales.check(folded.graph)
    precision: Precision = "float32" if scales is None else "int8"
    parameters = folded.fold(network.parameters)
    looks = tuple(Look(view.share, view.mirrored, view.shift) for view in VIEWS[network.views])
    ending = ending_of(network)

    def part(target: Target, version: str = "") -> tuple[str, int, int]:
        alone = not ahead.small  # panels that suit one image take more code
        program = plan_program(folded.graph, 1, target, outputs=(LOGITS,), precision=precision, alone=alone)
        standalone = stand_alone(program)
        constants = constants_of(standalone, parameters, scales)
        module = emit_standalone(
            standalone, constants, symbol, looks, ending, small=ahead.small, version=version, fitting=fitting
        )
        return str(module), arena_bytes(standalone, looks), standalone.constant_bytes

    if ahead.levels and form == "object" and host_target().architecture != "x86":
        raise EngineError(
            "an object that chooses by the processor can be compiled on x86-64 alone",
            hint=f"say --target {', or '.join(ahead.levels)}",
        )
    if not ahead.levels:
        text, arena, constant = part(ahead.target)
        return compile_ahead(text, ahead.target, form, small=ahead.small), arena, constant
    versions = [version_of(symbol, level) for level in LEVELS]
    targets = [AHEAD[name].target for name in ahead.levels]
    made = [part(target, version) for target, version in zip(targets, versions, strict=True)]
    shared = (
        choice_text(symbol, ahead.target.triple),
        str(emit_shared(symbol, ending.class_names, ahead.target, fitting)),
    )
    parts = [(text, ahead.target) for text in shared]
    parts += [(text, target) for (text, _, _), target in zip(made, targets, strict=True)]
    arena, constant = max(arena for _, arena, _ in made), sum(constant for _, _, constant in made)
    return compile_together(parts, form, hidden=versions), arena, constant


def ending_of(network: Network) -> Ending:
    """Return what becomes of a network's logits."""
    several = network.loss.several_labels
    thresholds = network.thresholds or (HALF,) * network.graph.classes
    return Ending(
        network.class_names,
        1.0 if several else network.temperature,
        None if several else network.reject_below,
        tuple(thresholds) if several else None,
    )
