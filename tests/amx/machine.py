"""The emulated machine: Bochs, mended and built; a CD of Linux and a folder; and what it says until it is off."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

TOOLS = {"g++": "g++", "make": "make", "patch": "patch", "xorriso": "xorriso", "cpio": "cpio", "gcc": "gcc"}
LOADER = {
    "isolinux.bin": (Path("/usr/lib/ISOLINUX/isolinux.bin"), "isolinux"),
    "ldlinux.c32": (Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"), "syslinux-common"),
}
OPTIONS = (
    *("--enable-smp", "--enable-x86-64", "--enable-cpu-level=6", "--enable-avx", "--enable-evex", "--enable-amx"),
    *("--enable-all-optimizations", "--disable-debugger", "--disable-docbook", "--with-nogui", "--without-x11"),
)
RATE = 400_000_000  # instructions that count as a second of its devices; Linux' clock takes 2.2e9
SETTINGS = """\
display_library: nogui
memory: guest={memory}, host={memory}, block_size=512
romimage: file={source}/bios/BIOS-bochs-latest
vgaromimage: file={source}/bios/VGABIOS-lgpl/VGABIOS-lgpl-latest.bin
cpu: model=sapphire_rapids, count={processors}, ips={rate}, reset_on_triple_fault=0, ignore_bad_msrs=1
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
END = "the end of all programs"  # what the first process says last
ENDS = (END, "Kernel panic")


class MissingError(Exception):
    """What this machine lacks."""


@dataclass(frozen=True)
class Machine:
    """An emulated machine.

    Arguments:
        emulator: the program.
        kernel: Linux.
        work: folder for what is made of it.
        memory: MiB.
        processors: which take turns in computing some instructions each: the emulator has one thread.
        hours: after which it is given up.
    """

    emulator: Path
    kernel: Path
    work: Path
    memory: int = 1024
    processors: int = 1
    hours: float = 2.0

    def run(self, root: Path) -> list[str]:
        """Return the lines that the machine says whose only disk is a folder, until it switches itself off."""
        image = self._image(root)
        output, settings = self.work / "output.txt", self.work / "bochsrc"
        output.unlink(missing_ok=True)
        places = {"source": self.work / "bochs", "image": image, "output": output, "log": self.work / "bochs.log"}
        settings.write_text(SETTINGS.format(memory=self.memory, processors=self.processors, rate=RATE, **places))
        command = [self.emulator, "-q", "-f", settings]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        start, shown = time.monotonic(), 0
        try:
            while process.poll() is None and time.monotonic() < start + self.hours * 3600:
                time.sleep(1)
                lines = _lines(output)
                for line in lines[shown:-1]:
                    print(f"{time.monotonic() - start:7.0f} s  {line}", flush=True)
                shown = max(shown, len(lines) - 1)
                if any(sign in line for sign in ENDS for line in lines[:-1]):
                    break
        finally:
            process.kill()
            process.wait()
        return _lines(output)

    def _image(self, root: Path) -> Path:
        """Return a CD of Linux with a folder as its memory disk."""
        disc, image = self.work / "disc", self.work / "disc.iso"
        shutil.rmtree(disc, ignore_errors=True)
        disc.mkdir()
        names = subprocess.run(["find", ".", "-print0"], cwd=root, capture_output=True, check=True).stdout
        with (disc / "initrd").open("wb") as archive:
            packed = ["cpio", "--null", "--create", "--format=newc", "--owner=0:0", "--quiet"]
            subprocess.run(packed, cwd=root, input=names, stdout=archive, check=True)
        shutil.copy2(self.kernel, disc / "vmlinuz")
        (disc / "isolinux.cfg").write_text(BOOT)
        for name, (place, _) in LOADER.items():
            shutil.copy2(place, disc / name)
        booted = ["-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
        command = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(image), *booted, str(disc)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return image


def _lines(output: Path) -> list[str]:
    return output.read_text(errors="replace").replace("\r", "").split("\n") if output.is_file() else []


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
