"""Functions come from the cache or are made anew, and go from memory with the last who uses them."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from neocog import plan
from neocog.errors import EngineError
from neocog.jit import compile as compile_module
from neocog.jit.cache import ObjectCache
from neocog.jit.codegen import generate
from neocog.jit.compile import Library, build_objects, load_objects
from neocog.jit.host import host_target
from neocog.jit.objects import pack

TEXT = """
define void @answer(ptr %a, ptr %b, ptr %c, ptr %d, i64 %e, i64 %f) {{
  store i64 {answer}, ptr %a
  ret void
}}
"""


def image(answer: int) -> bytes:
    return generate(TEXT.format(answer=answer), host_target())


def ask(library: Library) -> int:
    told = ctypes.c_int64()
    library.functions["answer"](ctypes.addressof(told), 0, 0, 0, 0, 0)
    return told.value


class Maker:
    """Makes the objects of one description, and counts how often."""

    def __init__(self, folder: Path, answer: int = 42) -> None:
        self.objects, self.answer, self.times = ObjectCache(folder), answer, 0

    def make(self) -> list[bytes]:
        self.times += 1
        return [image(self.answer)]

    def library(self) -> Library:
        return build_objects("what this is", self.make, host_target(), ["answer"], self.objects)


def test_what_is_in_the_cache_is_not_made_again(tmp_path: Path) -> None:
    maker = Maker(tmp_path)
    assert ask(maker.library()) == 42
    gc.collect()
    assert ask(maker.library()) == 42
    assert maker.times == 1


def test_programs_of_one_kind_share_a_library_while_one_lives(tmp_path: Path) -> None:
    maker = Maker(tmp_path)
    one = maker.library()
    assert maker.library() is one
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


BAD = {
    "nothing": b"",
    "garbage": b"garbage",
    "an object without the function": None,
    "lengths that lie": (1 << 40).to_bytes(8, "little") + b"\x7fELF\x02",
    "no object": pack([b"no object at all"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_entry_with_a_right_digest_and_a_wrong_content_is_made_anew(tmp_path: Path, kind: str) -> None:
    maker = Maker(tmp_path)
    ask(maker.library())
    gc.collect()
    (entry,) = tmp_path.glob("*.o")
    other = generate(TEXT.format(answer=1).replace("answer", "other"), host_target())
    bad = BAD[kind]
    maker.objects.store(entry.stem, pack([other]) if bad is None else bad)
    assert ask(maker.library()) == 42
    assert maker.times == 2
    gc.collect()
    assert ask(maker.library()) == 42  # and it was kept
    assert maker.times == 2


def test_what_cannot_be_loaded_once_it_is_made_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match=r"LLVM could not load a compiled program: .*missing"):
        load_objects([image(1)], ["missing"])
    with pytest.raises(EngineError, match="LLVM could not load a compiled program"):
        load_objects([b"no object"], ["answer"])
    assert capfd.readouterr().err == ""


def test_all_code_that_decides_what_modules_say_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    read_bytes = Path.read_bytes

    def note(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", note)
    compile_module._emitters.__wrapped__()
    source = Path(compile_module.__file__).parents[1]
    wanted = {path for room in ("emit", "plan", "nn") for path in (source / room).rglob("*.py")}
    assert {path.parent.name for path in wanted} >= {"emit", "plan", "nn"}
    assert wanted <= set(read)


def test_code_in_a_folder_of_a_room_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ops").mkdir()
    file = tmp_path / "ops" / "pool.py"
    monkeypatch.setattr(plan, "__file__", str(tmp_path / "__init__.py"))
    keys = set()
    for text in ("one = 1", "two = 2"):
        file.write_text(text)
        keys.add(compile_module._emitters.__wrapped__())
    assert len(keys) == 2


LEAK = """
import ctypes, gc, sys
import numpy as np
import neocog as nc
from neocog.jit import executable
executable.WORTH_MEETING = executable.WORTH_WAKING = 0  # however short the program, so that threads come and go too

libc = ctypes.CDLL(None)
class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc.mallinfo2.restype = Told

def used():
    gc.collect()
    told = libc.mallinfo2()
    return told.uordblks + told.hblkhd

net = nc.Sequential(nc.Conv2d(8, 3), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(10))
images, labels = np.zeros((4, 12, 12, 1), np.uint8), np.arange(4)

def once():
    model = nc.Model(net, (12, 12, 1), threads=int(sys.argv[1]))
    model.predict(images)
    if sys.argv[2] == "train":
        model.fit(images, labels, epochs=1, batch_size=4, verbose=0)

for _ in range(30):
    once()
found = [used()]
for _ in range(5):
    for _ in range(30):
        once()
    found.append(used())
# the median, since a table of the interpreter's may be due to grow by half a megabyte at once
print(sorted(after - before for before, after in zip(found, found[1:]))[2] / 30)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this C library does not count its memory")
@pytest.mark.parametrize(("threads", "use"), [(1, "predict"), (2, "predict"), (2, "train")])
def test_a_model_that_is_gone_leaves_no_memory_behind(tmp_path: Path, threads: int, use: str) -> None:
    """One LLVM linker for all libraries kept 10 KiB of each."""
    environment = {**os.environ, "NEOCOG_CACHE": str(tmp_path), "NEOCOG_THREADS": "2"}
    command = [sys.executable, "-c", LEAK, str(threads), use]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2048  # bytes for each model
