"""Run neocog's code for tile registers (AMX) in an emulated processor, and compare its bits with those of vectors.

    python tests/amx/run.py --bochs FOLDER [--kernel FILE] [--work FOLDER] [CASE …]

See README.md beside this file. It ends with 0 where all that was computed there has the bits that this machine gets.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS, ROOT = HERE.parent, HERE.parents[1]
sys.path[:0] = [str(ROOT / "src"), str(TESTS)]

TOOLS = {"g++": "g++", "make": "make", "patch": "patch", "xorriso": "xorriso", "cpio": "cpio", "gcc": "gcc"}
LOADER = {
    "isolinux.bin": (Path("/usr/lib/ISOLINUX/isolinux.bin"), "isolinux"),
    "ldlinux.c32": (Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"), "syslinux-common"),
}
OPTIONS = (
    *("--enable-x86-64", "--enable-cpu-level=6", "--enable-avx", "--enable-evex", "--enable-amx"),
    *("--enable-all-optimizations", "--disable-debugger", "--disable-docbook", "--with-nogui", "--without-x11"),
)
MEMORY = 1024  # MiB of the emulated machine
RATE = 400_000_000  # instructions that count as a second there
SETTINGS = """\
display_library: nogui
memory: guest={memory}, host={memory}, block_size=512
romimage: file={source}/bios/BIOS-bochs-latest
vgaromimage: file={source}/bios/VGABIOS-lgpl/VGABIOS-lgpl-latest.bin
cpu: model=sapphire_rapids, count=1, ips={rate}, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none, time0=utc
ata0-master: type=cdrom, path={image}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={output}
log: {log}
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
# Without these Linux starts in Bochs; with them it has hung ahead of its first process.
WITHOUT = "pcid,serialize,smap,erms,fsrm,invpcid"
CONSOLE = "console=ttyS0 earlyprintk=serial,ttyS0,115200"
BOOT = f"""\
serial 0 115200
default linux
prompt 0
label linux
kernel /vmlinuz
append initrd=/initrd {CONSOLE} panic=-1 edd=off nokaslr mitigations=off tsc=reliable clearcpuid={WITHOUT}
"""
ENDS = ("the end of all programs", "Kernel panic")


class MissingError(Exception):
    """What this machine lacks."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bochs", type=Path, required=True, help="sources of Bochs: the folder with its configure")
    parser.add_argument("--kernel", type=Path, help="Linux, 5.16 or later (default: the newest of /boot)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "amx", help="folder for what is built")
    parser.add_argument("--hours", type=float, default=2.0, help="after which it is given up")
    parser.add_argument("cases", nargs="*", help="how the names of cases begin (default: all)")
    return parser.parse_args()


def check_tools(bochs: Path, kernel: Path | None) -> Path:
    """Return the kernel.

    Raises:
        MissingError: something that is needed is not there.
    """
    missing = [f"{tool} (Debian: {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    missing += [f"{place} (Debian: {package})" for place, package in LOADER.values() if not place.is_file()]
    if not (bochs / "cpu" / "avx" / "amx.cc").is_file():
        missing.append(f"sources of Bochs 3 in {bochs}: there is no cpu/avx/amx.cc")
    kernels = sorted(Path("/boot").glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime)
    kernel = kernel or (kernels[-1] if kernels else None)
    if kernel is None or not kernel.is_file():
        missing.append("a kernel: give one with --kernel (Debian: apt-get download linux-image-…, dpkg-deb -x)")
    if missing:
        raise MissingError("\n".join(missing))
    assert kernel is not None
    return kernel


def build_emulator(bochs: Path, work: Path) -> Path:
    """Return the emulator, mended by bochs.patch. Its sources are copied, so that theirs stay as they are."""
    patch = HERE / "bochs.patch"
    emulated = (bochs / "cpu" / "avx" / "amx.cc").read_bytes()  # another checkout is another emulator
    state = hashlib.sha256(patch.read_bytes() + emulated + repr((OPTIONS, str(bochs))).encode()).hexdigest()[:16]
    source, made = work / "bochs", work / f"bochs-{state}"
    if made.is_file() and source.is_dir():
        return made
    print("building the emulator", flush=True)
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(bochs, source, symlinks=True)
    environment = os.environ | dict.fromkeys(("CFLAGS", "CXXFLAGS"), "-O3 -fomit-frame-pointer -pipe")
    with (work / "build.log").open("wb") as log:
        for command in (
            ["patch", "-p1", "-i", str(patch)],
            ["./configure", *OPTIONS],
            ["make", f"-j{len(os.sched_getaffinity(0))}", "bochs"],
        ):
            subprocess.run(command, cwd=source, env=environment, stdout=log, stderr=log, check=True)
    shutil.copy2(source / "bochs", made)
    return made


def prepare(wanted: list[str], work: Path) -> dict[str, str]:
    """Return what programs must print, and leave them in a folder: each is compiled here, and its memory is this
    machine's, where vectors computed the same.
    """
    from amx import cases
    from amx.programs import VECTORS, Exporter
    from neocog.jit.host import host_target

    has = host_target().features.split(",")
    lacking = [name for name in cases.FEATURES if not name.startswith("amx") and f"+{name}" not in has]
    if lacking:
        raise MissingError(f"a processor with {', '.join(lacking)}: parts in float32 are compared, too")
    for name in cases.FINITE:
        x, w = cases.FACTORS[name]()
        if (cases.products(VECTORS, x, w) != cases.exact_products(x, w)).any():
            raise AssertionError(f"vectors are not what the manual says: products of {name} factors")
    shutil.rmtree(work / "root", ignore_errors=True)
    exporter = Exporter(work / "root")
    exporter.export(wanted)
    return exporter.expected


def make_image(kernel: Path, work: Path) -> Path:
    """Return a CD of Linux whose memory disk holds the programs."""
    root, disc, image = work / "root", work / "disc", work / "disc.iso"
    shutil.rmtree(disc, ignore_errors=True)
    disc.mkdir()
    subprocess.run(["gcc", "-static", "-O1", "-s", "-o", root / "init", HERE / "init.c"], check=True)
    names = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True).stdout
    with (disc / "initrd").open("wb") as archive:
        packed = ["cpio", "--null", "--create", "--format=newc", "--owner=0:0", "--quiet"]
        subprocess.run(packed, cwd=root, input=names, stdout=archive, check=True)
    shutil.copy2(kernel, disc / "vmlinuz")
    (disc / "isolinux.cfg").write_text(BOOT)
    for name, (place, _) in LOADER.items():
        shutil.copy2(place, disc / name)
    booted = ["-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(image), *booted, str(disc)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return image


def emulate(emulator: Path, image: Path, work: Path, hours: float) -> list[str]:
    """Return the lines that the emulated machine says until it switches itself off."""
    output, settings = work / "output.txt", work / "bochsrc"
    output.unlink(missing_ok=True)
    places = {"source": work / "bochs", "image": image, "output": output, "log": work / "bochs.log"}
    settings.write_text(SETTINGS.format(memory=MEMORY, rate=RATE, **places))
    process = subprocess.Popen(
        [emulator, "-q", "-f", settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end, shown = time.monotonic() + hours * 3600, 0
    try:
        while process.poll() is None and time.monotonic() < end:
            time.sleep(1)
            lines = _lines(output)
            for line in lines[shown:-1]:
                print(f"  {line}", flush=True)
            shown = max(shown, len(lines) - 1)
            if any(sign in line for sign in ENDS for line in lines[:-1]):
                break
    finally:
        process.kill()
        process.wait()
    return _lines(output)


def _lines(output: Path) -> list[str]:
    return output.read_text(errors="replace").replace("\r", "").split("\n") if output.is_file() else []


def compare(expected: dict[str, str], lines: list[str]) -> list[str]:
    """Return what is not as it should be."""
    text = "\n".join(lines)
    found = dict(re.findall(r"result (\S+) ([0-9a-f]{16} [0-9a-f]{16})$", text, re.MULTILINE))
    told = dict(re.findall(r"failed (\S+) (.+)$", text, re.MULTILINE))
    wrong = [f"{name}: other bytes" for name, digests in expected.items() if found.get(name, digests) != digests]
    return wrong + [f"{name}: {told.get(name, 'did not run')}" for name in expected if name not in found]


def main() -> int:
    options = arguments()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        kernel = check_tools(options.bochs.resolve(), options.kernel)
        expected = prepare(options.cases, work)
    except MissingError as error:
        print(f"missing:\n{error}", file=sys.stderr)
        return 2
    if not expected:
        print(f"no case's name begins with {' or '.join(options.cases)}", file=sys.stderr)
        return 2
    emulator = build_emulator(options.bochs.resolve(), work)
    wrong = compare(expected, emulate(emulator, make_image(kernel, work), work, options.hours))
    for each in wrong:
        print(each, file=sys.stderr)
    print(f"{len(expected)} calls, {len(wrong)} differences; what the machine said is in {work / 'output.txt'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
