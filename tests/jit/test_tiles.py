"""Tile registers: the code for them, and the question whether this process may use them. Nothing here needs them."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neocog.engines.native import NativeEngine
from neocog.errors import EngineError
from neocog.jit import host
from neocog.jit.host import NARROWED, has_tiles, host_target, make_target, with_tiles
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.parameters import initial_parameters

FEATURES = dict.fromkeys(("avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512bf16", "amx-tile", "amx-bf16"), True)
SAPPHIRE = make_target("sapphirerapids", FEATURES, "x86_64-unknown-linux-gnu")
WITH_BYTES = replace(
    make_target("sapphirerapids", FEATURES | {"amx-int8": True, "avx512vnni": True}, SAPPHIRE.triple),
    tiles=True,
    byte_tiles=True,
)

# A missing feature or a wrong tile number ends the process that compiles, so another one does.
COMPILE = """
import sys
from dataclasses import replace
import llvmlite.binding as llvm
from neocog.emit.program import emit_program
from neocog.jit.codegen import generate
from neocog.jit.host import initialise_llvm
from neocog.jit.pieces import split
from neocog.nn.graph import trace
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from test_tiles import SAPPHIRE
convolutions = Conv2d(24, 3, padding=1), ReLU(), Conv2d(33, 3, 2, 1), ReLU(), Conv2d(40, 3, padding=1)
net = Sequential(*convolutions, MaxPool2d(2), Flatten(), Linear(10))
target = replace(SAPPHIRE, tiles=True)
initialise_llvm()
training = Training(CrossEntropy(), SGD()) if sys.argv[1] == "training" else None
program = plan_program(trace(net, (9, 12, 3)), 5, target, training, precision="bfloat16")
machine = llvm.Target.from_triple(target.triple).create_target_machine(
    cpu=target.cpu, features=target.features, opt=2, reloc="pic"
)
for piece in split(emit_program(program)):
    assert generate(piece.text, target, thorough=piece.thorough)[:4] == b"\\x7fELF"
    print(machine.emit_assembly(llvm.parse_assembly(piece.text)))
"""

RUN = """
import numpy as np
from neocog.engines.native import NativeEngine
from neocog.jit.host import host_target, why_no_tiles, with_tiles
from test_half import NETWORKS, _images, _parameters
from test_half_training import NETWORKS as TRAINED, NORMALIZED, _trained
target = with_tiles(host_target())
if not target.tiles:
    print(why_no_tiles())
    sys.exit()
for graph in NETWORKS.values():
    for count in (1, 3, 40):
        parameters, images = _parameters(graph), _images(graph, count)
        by_tiles, by_vectors = (
            NativeEngine(each, precision="bfloat16").predictor(graph, parameters, 2).logits(images)
            for each in (target, host_target())
        )
        assert by_tiles.tobytes() == by_vectors.tobytes(), count
for graph in (TRAINED["plain"], TRAINED["strides"], NORMALIZED):
    by_tiles, by_vectors = (
        _trained(NativeEngine(each, precision="bfloat16"), graph, 2).parameters() for each in (target, host_target())
    )
    assert all(value.tobytes() == by_vectors[name].tobytes() for name, value in by_tiles.items())
print("the same bits")
"""


def _run(code: str, *arguments: str) -> str:
    tests = Path(__file__).parents[1]
    path = [str(tests), *(str(tests / folder) for folder in ("jit", "conformance"))]
    lines = f"import sys; sys.path[:0] = {path!r}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", lines, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("purpose", ["prediction", "training"])
def test_llvm_writes_tile_instructions_for_a_processor_that_has_them(purpose):
    text = _run(COMPILE, purpose)
    instructions = [line.split()[0] for line in text.splitlines() if line.startswith("\t") and line.split()]
    counts = {name: instructions.count(name) for name in ("tdpbf16ps", "tileloadd", "tilezero", "tilestored")}
    assert counts["tdpbf16ps"] == counts["tileloadd"] > 0  # four of each a step: every tile is loaded once
    assert counts["tilezero"] == counts["tilestored"] > 0
    assert instructions.count("ldtilecfg") == instructions.count("tilerelease") == 1


COMPILE_BYTES = """
import llvmlite.binding as llvm
from neocog.emit.program import emit_program
from neocog.jit.codegen import generate
from neocog.jit.host import initialise_llvm
from neocog.jit.pieces import split
from neocog.nn.graph import trace
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, ReLU
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS
from test_tiles import WITH_BYTES
initialise_llvm()
graph = trace(Sequential(Conv2d(32, 1), ReLU(), Conv2d(33, 3), Conv2d(3, 1)), (6, 5, 3))
program = plan_program(graph, 5, WITH_BYTES, outputs=(LOGITS,), precision="int8")
machine = llvm.Target.from_triple(WITH_BYTES.triple).create_target_machine(
    cpu=WITH_BYTES.cpu, features=WITH_BYTES.features, opt=2, reloc="pic"
)
for piece in split(emit_program(program)):
    assert generate(piece.text, WITH_BYTES, thorough=piece.thorough)[:4] == b"\\x7fELF"
    print(machine.emit_assembly(llvm.parse_assembly(piece.text)))
"""


def test_llvm_writes_tile_instructions_for_bytes_with_and_without_a_sign():
    instructions = [line.split()[0] for line in _run(COMPILE_BYTES).splitlines() if line.startswith("\t")]
    counts = {name: instructions.count(name) for name in ("tdpbusd", "tdpbssd", "tileloadd", "tilezero", "tilestored")}
    assert counts["tdpbusd"] > 0
    assert counts["tdpbssd"] > 0
    assert counts["tdpbusd"] + counts["tdpbssd"] == counts["tileloadd"]
    assert counts["tilezero"] == counts["tilestored"] > 0
    assert instructions.count("tdpbf16ps") == 0
    assert instructions.count("ldtilecfg") == instructions.count("tilerelease") == 1


STORES = "vcvtneps2bf16"


def test_what_stores_a_block_is_written_between_the_products_of_the_next():
    """Of a convolution over one plane of channels: 36 products a block, and 32 rows of two vectors to be rounded."""
    instructions = [line.split()[0] for line in _run(COMPILE, "prediction").splitlines() if line.startswith("\t")]
    kinds = "".join({"tdpbf16ps": "p", STORES: "s", "tilezero": "z"}.get(name, "") for name in instructions)
    rows = [
        [part.count("s") for part in run[: run.rindex("p")].split("p")[1:]]
        for run in re.split("z+", kinds)
        if run.count("p") == 36
    ]
    (interleaved,) = (counts for counts in rows if sum(counts))  # the other one has two planes
    assert len(rows) == 2
    assert sum(interleaved) == 2 * 31  # the last row comes behind the last product
    assert max(interleaved) == 2


def test_a_processor_has_tiles_by_its_features():
    assert has_tiles(SAPPHIRE)
    assert not SAPPHIRE.tiles  # only who asked may use them
    assert not any(has_tiles(make_target(*NARROWED[name], SAPPHIRE.triple)) for name in NARROWED)
    assert not has_tiles(replace(SAPPHIRE, triple="aarch64-unknown-linux-gnu"))


@pytest.mark.parametrize("permitted", [True, False])
def test_tiles_are_used_where_the_system_permits_it(monkeypatch, permitted):
    monkeypatch.setattr(host, "_tiles_permitted", lambda: permitted)
    assert with_tiles(SAPPHIRE).tiles is permitted
    assert not with_tiles(SAPPHIRE).byte_tiles  # it has none
    without = replace(WITH_BYTES, tiles=False, byte_tiles=False)
    assert with_tiles(without) == (WITH_BYTES if permitted else without)
    narrow = make_target(*NARROWED["avx2"], SAPPHIRE.triple)
    assert with_tiles(narrow) == narrow


def test_asking_for_tiles_never_fails():
    """Where there are none, Linux says no."""
    code = "from neocog.jit.host import _tiles_permitted; print(_tiles_permitted())"
    assert _run(code).strip() in ("True", "False")


@pytest.mark.skipif(not has_tiles(host_target()), reason="this processor has no tile registers (AMX)")
def test_tile_registers_give_the_bits_of_vectors():
    told = _run(RUN).strip()
    if told == "the system does not let this process use AMX":
        pytest.skip(told)
    assert told == "the same bits"


@pytest.mark.parametrize("permitted", [True, False])
def test_a_target_with_tiles_from_another_process_is_refused_where_its_instructions_would_end_this_one(
    monkeypatch, permitted
):
    """An engine may have been pickled: the target says what the process that made it was permitted."""
    net = Sequential(Conv2d(8, 3), ReLU(), Flatten(), Linear(3))
    engine = pickle.loads(pickle.dumps(NativeEngine(replace(SAPPHIRE, tiles=True), precision="bfloat16")))
    graph = trace(net, (8, 8, 3))
    monkeypatch.setattr(host, "host_target", lambda: SAPPHIRE)
    monkeypatch.setattr(host, "_tiles_permitted", lambda: permitted)
    if permitted:
        host.check_tiles(engine.target)
        return
    images = np.zeros((2, 8, 8, 3), np.float32)
    with pytest.raises(EngineError, match="which this process cannot use: the system does not let this process"):
        engine.predictor(graph, initial_parameters(graph), 1).logits(images)
    monkeypatch.setattr(host, "host_target", lambda: make_target(*NARROWED["avx2"], SAPPHIRE.triple))
    with pytest.raises(EngineError, match="which this process cannot use"):
        engine.predictor(graph, initial_parameters(graph), 1).logits(images)
