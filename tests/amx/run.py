"""Run neocog's code for tile registers (AMX) in an emulated processor, and compare its bits with those of vectors.

    python tests/amx/run.py --bochs FOLDER [--kernel FILE] [--work FOLDER] [--python] [NAME …]

See README.md beside this file. It ends with 0 where all that was computed there has the bits that this machine gets.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

TESTS, ROOT = Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(TESTS), *(str(TESTS / folder) for folder in ("jit", "conformance"))]

from amx.machine import END, HERE, Machine, MissingError, build_emulator, check_tools  # noqa: E402

PYTHON_MEMORY, PYTHON_PROCESSORS = 2048, 2  # MiB of the machine that Python runs in, and what two threads run on


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bochs", type=Path, required=True, help="sources of Bochs: the folder with its configure")
    parser.add_argument("--kernel", type=Path, help="Linux, 5.16 or later (default: the newest of /boot)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "amx", help="folder for what is built")
    parser.add_argument("--hours", type=float, default=2.0, help="after which it is given up")
    parser.add_argument("--python", action="store_true", help="run Python in there, in place of compiled programs")
    parser.add_argument("names", nargs="*", help="how the names of cases begin, or of checks (default: all)")
    return parser.parse_args()


def check_vectors() -> None:
    """Check that this machine computes what the manual says.

    Raises:
        MissingError: it has not the instructions that a comparison needs.
    """
    from amx import cases
    from amx.programs import VECTORS
    from neocog.jit.host import host_target

    has = host_target().features.split(",")
    lacking = [name for name in cases.FEATURES if not name.startswith("amx") and f"+{name}" not in has]
    if lacking:
        raise MissingError(f"a processor with {', '.join(lacking)}: parts in float32 are compared, too")
    for name in cases.FINITE:
        x, w = cases.FACTORS[name]()
        if (cases.products(VECTORS, x, w) != cases.exact_products(x, w)).any():
            raise AssertionError(f"vectors are not what the manual says: products of {name} factors")


# --- compiled programs ------------------------------------------------------------------------------------------------


def run_programs(machine: Machine, wanted: list[str]) -> tuple[int, list[str]]:
    """Return how many calls were compared, and what is not as it should be. Each program is compiled here, and its
    memory is this machine's, where vectors computed the same.
    """
    from amx.programs import Exporter

    root = machine.work / "root"
    shutil.rmtree(root, ignore_errors=True)
    exporter = Exporter(root)
    exporter.export(wanted)
    if not exporter.expected:
        return 0, []
    subprocess.run(["gcc", "-static", "-O1", "-s", "-o", root / "init", HERE / "init.c"], check=True)
    return len(exporter.expected), compare(exporter.expected, machine.run(root))


def compare(expected: dict[str, str], lines: list[str]) -> list[str]:
    """Return what is not as it should be."""
    text = "\n".join(lines)
    found = dict(re.findall(r"result (\S+) ([0-9a-f]{16} [0-9a-f]{16})$", text, re.MULTILINE))
    told = dict(re.findall(r"failed (\S+) (.+)$", text, re.MULTILINE))
    wrong = [f"{name}: other bytes" for name, digests in expected.items() if found.get(name, digests) != digests]
    return wrong + [f"{name}: {told.get(name, 'did not run')}" for name in expected if name not in found]


# --- Python -----------------------------------------------------------------------------------------------------------


def run_python(machine: Machine, wanted: list[str]) -> tuple[int, list[str]]:
    """Return how many checks ran, and what is not as it should be."""
    from amx import checks, python_root
    from neocog.target.processor import Target

    names = [name for name in checks.CHECKS if not wanted or any(name.startswith(each) for each in wanted)]
    if not names:
        return 0, []
    root, objects, told = (
        machine.work / name for name in ("python", "python-objects", f"{machine.emulator.name}.json")
    )
    if not told.is_file():  # the emulator's processor does not change
        python_root.make_root(root, ["-m", "amx.guest", "processor"])
        found = re.search(r"^processor (\{.*\})$", "\n".join(machine.run(root)), re.MULTILINE)
        if found is None:
            return len(names), [f"the machine did not say what its processor is: {machine.work / 'output.txt'}"]
        told.write_text(found[1])
    target = Target(**json.loads(told.read_text()))
    expected = python_root.digests(target)
    python_root.compile_ahead(target, objects)
    python_root.make_root(root, ["-m", "amx.guest", "check", "/digests", *wanted], objects)
    (root / "digests").write_text(json.dumps(expected))
    lines = machine.run(root)
    passed = {found[1] for line in lines if (found := re.match(r"passed (.+?)  \(", line))}
    wrong = [f"{name}: not passed" for name in names if name not in passed]
    return len(names), wrong + ([] if END in lines else ["the machine did not come to its end"])


def main() -> int:
    options = arguments()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        kernel = check_tools(options.bochs.resolve(), options.kernel)
        check_vectors()
    except MissingError as error:
        print(f"missing:\n{error}", file=sys.stderr)
        return 2
    emulator = build_emulator(options.bochs.resolve(), work)
    if options.python:
        machine = Machine(emulator, kernel, work, PYTHON_MEMORY, PYTHON_PROCESSORS, options.hours)
        count, wrong = run_python(machine, options.names)
    else:
        count, wrong = run_programs(Machine(emulator, kernel, work, hours=options.hours), options.names)
    if not count:
        print(f"no name begins with {' or '.join(options.names)}", file=sys.stderr)
        return 2
    for each in wrong:
        print(each, file=sys.stderr)
    kind = "checks" if options.python else "calls"
    print(f"{count} {kind}, {len(wrong)} differences; what the machine said is in {work / 'output.txt'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
