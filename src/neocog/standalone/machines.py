"""What a self-test needs of each machine: a compiler, what runs it here, and how its program reads and writes.

A program on a system reads stdin and writes stdout. One without a system brings its own start: on Cortex-M it speaks to
the emulator by semihosting (Arm's specification, "Semihosting for AArch32 and AArch64"), on RV32, for which Debian has
no C library, to Linux by system calls.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGES, ANSWERS = "images.bin", "answers.bin"  # in the program's folder, where it has no streams


@dataclass(frozen=True, slots=True)
class Machine:
    """How self-tests are built and run.

    Arguments:
        compilers: names of C compilers, the best first.
        package: of Debian, which brings all that is needed.
        emulators: what runs the program; none: this machine does.
        flags: of the compiler.
        run: what the emulator is told, before the program.
        edge: C that reads, writes and begins.
        layout: a linker script, where there is no system.
        files: whether it reads and writes files, and not streams.
    """

    compilers: tuple[str, ...]
    package: str
    emulators: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    edge: str = ""
    layout: str = ""
    files: bool = False


_HOSTED = """#include <stdio.h>

static int take(void *to, long count)
{
    return fread(to, 1, (size_t)count, stdin) == (size_t)count;
}

static void give(const void *from, long count)
{
    fwrite(from, 1, (size_t)count, stdout);
}

"""

_MEMORY = """
void *memset(void *to, int value, size_t count)
{
    unsigned char *byte = to;
    while (count--)
        *byte++ = (unsigned char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t count)
{
    unsigned char *byte = to;
    const unsigned char *other = from;
    while (count--)
        *byte++ = *other++;
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    unsigned char *byte = to;
    const unsigned char *other = from;
    if (byte < other)
        return memcpy(to, from, count);
    while (count--)
        byte[count] = other[count];
    return to;
}
"""

_SEMIHOSTED = (
    """#include <stddef.h>
"""
    + _MEMORY
    + """
static long ask(long operation, const void *argument)
{
    register long r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static long images, answers;

static int take(void *to, long count)
{
    long block[3] = {images, (long)to, count};
    return ask(0x06, block) == 0; /* SYS_READ gives what it could not read */
}

static void give(const void *from, long count)
{
    long block[3] = {answers, (long)from, count};
    ask(0x05, block); /* SYS_WRITE */
}

int main(void);

static void begin(void)
{
    static const char in[] = "images.bin", out[] = "answers.bin";
    long open_in[3] = {(long)in, 1, sizeof in - 1}, open_out[3] = {(long)out, 5, sizeof out - 1}; /* "rb", "wb" */
    long how[2] = {0x20026, 0}; /* ADP_Stopped_ApplicationExit */
    *(volatile unsigned long *)0xE000ED88 |= 0xFul << 20; /* CPACR: the FPU may be used */
    __asm__ volatile("dsb\\n\\tisb");
    images = ask(0x01, open_in); /* SYS_OPEN */
    answers = ask(0x01, open_out);
    how[1] = main();
    ask(0x02, &answers); /* SYS_CLOSE */
    ask(0x20, how); /* SYS_EXIT_EXTENDED */
    for (;;)
        ;
}

extern char stack_end[];
__attribute__((section(".vectors"), used)) static void *const vectors[16] = {stack_end, (void *)begin};
"""
)

_SYSCALLS = (
    """#include <stddef.h>
"""
    + _MEMORY
    + """
static long ask(long number, long a, long b, long c)
{
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

static int take(void *to, long count)
{
    long done = 0, part = 1;
    while (done < count && part > 0) {
        part = ask(63, 0, (long)((char *)to + done), count - done); /* read */
        done += part;
    }
    return done == count;
}

static void give(const void *from, long count)
{
    ask(64, 1, (long)from, count); /* write */
}

int main(void);

void _start(void)
{
    ask(93, main(), 0, 0); /* exit */
    for (;;)
        ;
}
"""
)

_LAYOUT = """MEMORY
{{
    CODE (rx) : ORIGIN = {code}, LENGTH = {code_size}{constants}
    DATA (rwx) : ORIGIN = {data}, LENGTH = {data_size}
}}
SECTIONS
{{
    .text : {{ KEEP(*(.vectors)) *(.text*) }} > CODE
    .rodata : {{ *(.rodata*) *(.data.rel.ro*) }} > {region}
    .bss (NOLOAD) : {{ *(.data*) *(.bss*) *(COMMON) }} > DATA
    stack_end = ORIGIN(DATA) + LENGTH(DATA);
    /DISCARD/ : {{ *(.ARM.exidx*) *(.ARM.extab*) *(.comment) }}
}}
"""
_BARE = ("-ffreestanding", "-nostdlib", "-fno-tree-loop-distribute-patterns")


def _linux(prefix: str, emulator: str, flags: tuple[str, ...] = (), run: tuple[str, ...] = ()) -> Machine:
    compiler, package = f"{prefix}-gcc", f"gcc-{prefix} libc6-dev-{_DEBIAN[prefix]}-cross qemu-user-static"
    emulators = (f"qemu-{emulator}-static", f"qemu-{emulator}")
    return Machine((compiler,), package, emulators, (*flags, "-static"), run, _HOSTED)


def _cortex(
    board: str, cpu: str, code: str, code_size: str, data: str, data_size: str, constants: tuple[str, str] | None = None
) -> Machine:
    """Return a machine without a system; `constants`: where they lie and how many fit, where that is not with code."""
    apart = "" if constants is None else "\n    CONSTANTS (r) : ORIGIN = {}, LENGTH = {}".format(*constants)
    region = "CODE" if constants is None else "CONSTANTS"
    layout = _LAYOUT.format(
        code=code, code_size=code_size, constants=apart, region=region, data=data, data_size=data_size
    )
    silent = ("-display", "none", "-monitor", "none", "-serial", "none")
    run = ("-M", board, "-cpu", cpu, *silent, "-semihosting-config", "enable=on,target=native", "-kernel")
    emulators, packages = ("qemu-system-arm",), "gcc-arm-none-eabi qemu-system-arm"
    return Machine(("arm-none-eabi-gcc",), packages, emulators, _BARE, run, _SEMIHOSTED, layout, files=True)


def _rv32(cpu: str) -> Machine:
    emulators, packages = ("qemu-riscv32-static", "qemu-riscv32"), "gcc-riscv64-linux-gnu qemu-user-static"
    flags = (*_BARE, "-static", "-mno-relax")
    return Machine(("riscv64-linux-gnu-gcc",), packages, emulators, flags, ("-cpu", cpu), _SYSCALLS)


_DEBIAN = {"aarch64-linux-gnu": "arm64", "arm-linux-gnueabihf": "armhf", "riscv64-linux-gnu": "riscv64"}
_VECTORS = "v=true,vlen=128,vext_spec=v1.0"

HERE = Machine(("cc", "gcc", "clang"), "gcc", edge=_HOSTED)
MACHINES = {
    "aarch64": _linux("aarch64-linux-gnu", "aarch64"),
    "aarch64-dotprod": _linux("aarch64-linux-gnu", "aarch64", run=("-cpu", "max")),
    "armv7a": _linux("arm-linux-gnueabihf", "arm"),
    "rv64": _linux("riscv64-linux-gnu", "riscv64"),
    "rv64v": _linux("riscv64-linux-gnu", "riscv64", run=("-cpu", f"rv64,{_VECTORS}")),
    "rv32": _rv32("rv32"),
    "rv32v": _rv32(f"rv32,{_VECTORS}"),
    "cortex-m4": _cortex("mps2-an386", "cortex-m4", "0x00000000", "4M", "0x20000000", "4M"),
    "cortex-m7": _cortex("mps2-an500", "cortex-m7", "0x00000000", "4M", "0x20000000", "4M"),
    "cortex-m33": _cortex("mps2-an505", "cortex-m33", "0x10000000", "4M", "0x38000000", "2M"),
    "cortex-m55": _cortex("mps3-an547", "cortex-m55", "0x10000000", "512K", "0x31000000", "4M", ("0x11000000", "2M")),
}
"""By target. Boards and their memory are those of QEMU's documentation, and of Arm's application notes by number."""
