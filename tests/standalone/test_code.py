"""Networks as object files for any processor: what is in them, what they call, and that it is the engine's own code."""

from __future__ import annotations

import ctypes
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from neocog.app.cli.options import TARGETS as WORDS
from neocog.emit.standalone import Look, emit_standalone
from neocog.errors import FormatError, SettingError
from neocog.jit.compile import load_objects
from neocog.jit.host import host_target
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import BinaryCrossEntropy
from neocog.nn.rewrite import fold_norms
from neocog.nn.zoo import lenet5, mobilenet_v1_x0_25
from neocog.plan.layout import Space
from neocog.plan.ops.halo import ClearHalo
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS
from neocog.plan.standalone import stand_alone
from neocog.plan.verify import PlanError
from neocog.standalone.code import MAY_CALL, TARGETS, ahead_target, c_name, code_of, ending_of
from neocog.standalone.elf import read_object
from neocog.standalone.folder import read_note, write_folder
from neocog.standalone.header import check_header_name
from neocog.target.ahead import AHEAD

NET = Sequential(
    *(Conv2d(18, 3, padding=1), ReLU(), Conv2d(20, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(5)),
)


def network() -> Network:
    return Network(NET, (12, 12, 3), ["a", 'b\n"*/', "Gänse", "d", "e"], seed=1)


SMALL = Network(Sequential(Conv2d(2, 3, padding=1), MaxPool2d(2), Flatten(), Linear(2)), (6, 6, 1), seed=1)


def test_logits_are_the_bits_of_the_engine() -> None:
    """The object is loaded here, and the logits are read where its plan says that they lie."""
    layers = (*NET.layers[:-1], Linear(150), ReLU(), Linear(5))  # wide enough for the sums of one row to be cut
    wide = Network(Sequential(*layers), (12, 12, 3), seed=1)
    code = code_of(wide, "native", "net")
    library = load_objects([code.content], ["neocog_net_predict"])
    address = ctypes.c_void_p.from_buffer(library.functions["neocog_net_predict"]).value
    predict = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(address)
    program = plan_program(fold_norms(wide.graph).graph, 1, code.target.target, outputs=(LOGITS,), alone=True)
    standalone = stand_alone(program)
    memory = np.full(code.arena_bytes + standalone.line, 0xFF, np.uint8)
    arena = memory[-memory.ctypes.data % standalone.line :]
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    wanted = wide.logits(images, batch_size=1)
    for image, logits in zip(images, wanted, strict=True):
        probabilities = np.zeros(5, np.float32)
        answer = predict(image.ctypes.data, probabilities.ctypes.data, arena.ctypes.data)
        place = standalone.work[program.outputs[LOGITS].memory].offset
        assert arena[place : place + 20].view(np.float32).tobytes() == logits.tobytes()
        assert answer == logits.argmax()
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-6)


def test_class_names_are_those_of_the_model() -> None:
    code = code_of(network(), "native", "net")
    library = load_objects([code.content], ["neocog_net_class_names"])
    address = ctypes.c_void_p.from_buffer(library.functions["neocog_net_class_names"]).value
    assert address is not None
    names = (ctypes.c_char_p * 5).from_address(address)
    assert [name.decode() for name in names if name is not None] == ["a", 'b\n"*/', "Gänse", "d", "e"]


def test_the_example_of_the_readme_compiles_and_answers(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed: apt-get install gcc")
    write_folder(tmp_path, code_of(SMALL, "native", "net"), SMALL)
    text = (tmp_path / "README.md").read_text()
    (tmp_path / "main.c").write_text(text.split("```c\n")[1].split("```")[0])
    words = text.split("```sh\n")[1].split("```")[0].split()
    subprocess.run([*words, "-Wall", "-Werror"], cwd=tmp_path, check=True)
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 1), dtype=np.uint8)
    done = subprocess.run([tmp_path / "main"], input=image.tobytes(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == SMALL.class_names[int(SMALL.predict(image)[0])]


def test_readmes_say_only_what_holds(tmp_path: Path) -> None:
    for target, form, build in (
        ("native", "asm", "main.c net.s -o main"),
        ("native", "llvm", "clang -O2 main.c net.ll"),
        ("wasm32", "object", "clang --target=wasm32-wasi main.c net.o"),
        ("cortex-m4", "object", "arm-none-eabi-gcc -mcpu=cortex-m4"),
    ):
        write_folder(tmp_path, code_of(SMALL, target, "net", form), SMALL)
        text = (tmp_path / "README.md").read_text()
        assert build in text
        header = (tmp_path / "net.h").read_text()
        assert [("in ELF objects alone" in each) for each in (text, header)] == [target != "cortex-m4"] * 2
        assert ("here" in text) == ("neocog verify" in text) == (target == "cortex-m4")


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(SettingError, match="holds other files") as raised:
        write_folder(tmp_path, code_of(SMALL, "native", "net"), SMALL)
    assert "--output" in (raised.value.hint or "")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("README.md", "mine")]


def test_what_was_exported_before_goes(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_folder(folder, code_of(SMALL, "native", "net"), SMALL)
    (folder / "main.c").write_text("mine")
    write_folder(folder, code_of(SMALL, "native", "other", "asm"), SMALL)
    assert {file.name for file in folder.iterdir()} == {"main.c", "other.s", "other.h", "README.md", "neocog.json"}


def test_a_note_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "neocog.json").write_text("[" * 60_000)
    with pytest.raises(FormatError, match="holds no compiled network"):
        read_note(tmp_path)


def test_answers_of_rv64_are_extended_as_its_abi_wants() -> None:
    text = code_of(SMALL, "rv64", "net", "llvm").content.decode()
    assert re.search(r"define signext .*i32 @neocog_net_predict", text)


def test_labels_are_counted_in_a_loop_against_thresholds_that_are_rounded_down() -> None:
    exact = np.array([0.1, 0.3, 0.7])
    assert (exact.astype(np.float32) > exact).any()
    wanted = [float(np.nextafter(near, np.float32(0)) if near > t else near) for t in exact for near in [np.float32(t)]]
    labels = Network(NET, (12, 12, 3), ["a", "b", "c", "d", "e"], seed=1, loss=BinaryCrossEntropy())
    labels.thresholds = [*exact.tolist(), 0.5, 0.5]
    program = plan_program(fold_norms(labels.graph).graph, 1, AHEAD["rv64"].target, outputs=(LOGITS,))
    standalone = stand_alone(program)
    text = str(
        emit_standalone(standalone, bytes(standalone.constant_bytes), "net", [Look(1.0)], ending_of(labels), small=True)
    )
    line = next(line for line in text.splitlines() if line.startswith('@"thresholds"'))
    found = [struct.unpack(">d", bytes.fromhex(value))[0] for value in re.findall(r"0x([0-9a-f]{16})", line)]
    assert found == [*wanted, 0.5, 0.5]
    assert text.count('@"thresholds"') == 2  # where they are, and where the loop finds them


def test_bytes_that_no_stage_reads_are_no_constants() -> None:
    program = plan_program(trace(NET, (12, 12, 3)), 1, AHEAD["rv64"].target, outputs=(LOGITS,))
    standalone = stand_alone(program)
    last = standalone.constants[-1]
    assert standalone.constant_at(last.memory, last.start + last.size - 1) == last.offset + last.size - 1
    with pytest.raises(PlanError, match="none of the constants"):
        standalone.constant_at(last.memory, last.start + last.size)
    with pytest.raises(PlanError, match="none of the constants"):
        standalone.constant_at((Space.ARENA, ""), 0)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_compiles_and_needs_no_library(name: str) -> None:
    code = code_of(SMALL, name, "net")
    if name == "wasm32":
        assert code.content.startswith(b"\0asm")
        return
    assert code.file is not None
    assert set(code.file.undefined) <= MAY_CALL
    assert code.file.variables == 0
    assert code.file.code > 0
    assert 0 < code.file.constants < code.constant_bytes + 2_000  # LLVM knows some of the weights by heart


def test_the_same_network_gives_the_same_bytes() -> None:
    assert code_of(SMALL, "cortex-m4", "net").content == code_of(SMALL, "cortex-m4", "net").content


@pytest.mark.parametrize("name", ["cortex-m4", "armv7a"])
def test_objects_for_arm_fit_either_float_abi(name: str) -> None:
    """Tag_ABI_VFP_args (28) is 3, within lengths that have grown by it; all else stays where it was."""
    content = code_of(SMALL, name, "net").content
    assert content.endswith(b"\x1c\x03")
    start = content.rindex(b"aeabi\0")
    whole = int.from_bytes(content[start - 4 : start], "little")
    assert whole == len(content) - start + 4
    assert int.from_bytes(content[start + 7 : start + 11], "little") == len(content) - start - 6


def test_code_for_flash_memory_is_short() -> None:
    """The bar is 8 KiB for LeNet-5 on a Cortex-M4; written out as for large processors, it takes 10."""
    code = code_of(Network(lenet5(), (28, 28, 1), seed=0), "cortex-m4", "net")
    assert code.file is not None
    assert code.file.code < 4 << 10


def test_assembly_and_llvm_show_the_instructions() -> None:
    assembly = code_of(SMALL, "aarch64", "net", "asm").content.decode()
    assert "neocog_net_predict:" in assembly
    assert "fmla\tv" in assembly
    text = code_of(SMALL, "x86-64-avx2", "net", "llvm").content.decode()
    assert "<8 x float> @llvm.fma.v8f32" in text


def test_only_weights_that_are_read_are_constants() -> None:
    """Of a convolution by Winograd's algorithm the transformed weights are read, and not the weights themselves."""
    program = plan_program(trace(NET, (12, 12, 3)), 1, AHEAD["x86-64-avx512"].target, outputs=(LOGITS,))
    assert program.preparation, "this test needs transformed weights"
    standalone = stand_alone(program)
    assert standalone.constant_bytes < program.size(Space.STATE) + sum(
        allocation.size for (space, _), allocation in program.allocations.items() if space is Space.ARENA
    )
    read = {constant.memory[0] for constant in standalone.constants}
    assert read == {Space.STATE, Space.ARENA}
    assert not {constant.memory for constant in standalone.constants} & set(standalone.work)


def test_a_call_needs_less_memory_than_a_program_that_stays() -> None:
    for name in ("cortex-m4", "aarch64", "x86-64-avx512"):
        program = plan_program(trace(NET, (12, 12, 3)), 1, AHEAD[name].target, outputs=(LOGITS,))
        assert 0 < stand_alone(program).work_bytes <= program.size(Space.ARENA) + program.size(Space.SCRATCH)


def test_a_call_needs_no_more_memory_than_is_in_use_at_a_time() -> None:
    """Halos are cleared before their images are made: nothing is kept from the beginning of a call for its zeros."""
    for name in ("cortex-m7", "x86-64-avx2", "x86-64-avx512"):
        graph = fold_norms(trace(mobilenet_v1_x0_25(2), (48, 48, 3))).graph
        standalone = stand_alone(plan_program(graph, 1, AHEAD[name].target, outputs=(LOGITS,)))
        cleared = {stage.tensor.memory for stage in standalone.stages if isinstance(stage, ClearHalo)}
        assert len(cleared) == 14, "the image, and what each depthwise convolution takes"
        assert standalone.zeros == ()
        assert standalone.work_bytes == standalone.live_bytes


def test_layers_of_one_shape_share_a_kernel() -> None:
    """The blocks of MobileNetV1 with 512 channels are five times the same two layers."""
    graph = fold_norms(trace(mobilenet_v1_x0_25(2), (48, 48, 3))).graph
    standalone = stand_alone(plan_program(graph, 1, AHEAD["cortex-m7"].target, outputs=(LOGITS,)))
    constants = bytes(standalone.constant_bytes)
    network = Network(mobilenet_v1_x0_25(2), (48, 48, 3), seed=0)
    text = str(emit_standalone(standalone, constants, "net", [Look(1.0)], ending_of(network), small=True))
    names = Counter(re.findall(r"call void @\"((?:depthwise|contraction)_\w+)\"", text))
    assert sum(names.values()) == 28
    assert sorted(names.values(), reverse=True)[:2] == [5, 5]
    assert len(set(re.findall(r"define internal void @\"((?:depthwise|contraction)_\w+)\"", text))) == len(names)


def test_the_header_names_everything_and_cannot_be_broken_by_class_names(tmp_path: Path) -> None:
    wide = network()
    code = code_of(wide, "native", "net")
    write_folder(tmp_path, code, wide)
    header = (tmp_path / "net.h").read_text()
    for line in ("#define NEOCOG_NET_INPUT_H 12", "#define NEOCOG_NET_INPUT_C 3 ", "#define NEOCOG_NET_NUM_CLASSES 5"):
        assert line in header
    assert f"#define NEOCOG_NET_ARENA_BYTES {code.arena_bytes} " in header
    assert f"#define NEOCOG_NET_WEIGHT_BYTES {code.constant_bytes} " in header
    assert code.file is not None
    assert f"#define NEOCOG_NET_CODE_BYTES {code.file.code} " in header
    assert "*/" not in (tmp_path / "README.md").read_text().split("Classes:")[0]
    assert header.count("/*") == header.count("*/")
    assert read_note(tmp_path).target == "native"


def test_looks_share_the_answer() -> None:
    assert Look(1.0).plain
    assert not Look(0.5, mirrored=True).plain
    assert not Look(0.5, shift=1).plain


@pytest.mark.parametrize(("text", "name"), [("My photos-2", "my_photos_2"), ("3", "3"), ("Ü__b", "b")])
def test_names_become_c(text: str, name: str) -> None:
    assert c_name(text) == name


def test_mistakes_are_said() -> None:
    with pytest.raises(SettingError, match="no letter"):
        c_name("äöü")
    with pytest.raises(SettingError, match="there is no target 'z80'"):
        ahead_target("z80")
    with pytest.raises(SettingError, match=r"string\.h is a header of C itself"):
        check_header_name("string")
    cut = Network(Sequential(Flatten(), Linear(2)), (6, 6, 1), ["a", "b\0c"], seed=0)
    with pytest.raises(SettingError, match=r"'b\\x00c' holds a NUL"):
        code_of(cut, "native", "net")
    image = Network(Sequential(Conv2d(2, 3)), (6, 6, 1), seed=0)
    with pytest.raises(SettingError, match="ends in"):
        code_of(image, "native", "net")


def test_the_command_line_knows_every_target() -> None:
    assert WORDS == TARGETS


def test_what_is_written_to_is_no_constant(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None or not host_target().triple.startswith(("x86_64", "aarch64")):
        pytest.skip("gcc is not installed: apt-get install gcc")
    (tmp_path / "a.c").write_text(
        'int kept = 3, empty[5]; static const char word[] = "a"; const char *const names[] = {word};'
    )
    subprocess.run([compiler, "-c", "-fPIC", "a.c"], cwd=tmp_path, check=True)
    found = read_object((tmp_path / "a.o").read_bytes())
    assert found is not None
    assert found.variables == 24
    assert found.constants >= 10  # the pointer, which is relocated once, and the word


def test_what_is_no_elf_file_is_not_read() -> None:
    assert read_object(b"\0asm\1\0\0\0") is None
