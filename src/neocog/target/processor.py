"""The processor that a plan is made for, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NARROW = ("arm", "thumb", "riscv32", "wasm32")
"""How the names of architectures begin whose addresses have 32 bits."""


def architecture_of(triple: str) -> str:
    """Return the architecture that a triple names; Apple calls AArch64 arm64, which is no 32-bit ARM.

    >>> architecture_of("arm64-apple-darwin23.5.0")
    'aarch64'
    """
    name = triple.split("-")[0]
    return "aarch64" if name.startswith("arm64") else name


Dot = Literal["quads", "signed quads", "pairs", "two", "bytes"]
"""By what products of bytes are added up; see emit/dot.py."""


@dataclass(frozen=True, slots=True)
class Target:
    """A processor, as far as plans and emitted code depend on it.

    Arguments:
        triple: LLVM's name of architecture and system.
        cpu: LLVM's name of the processor model.
        features: LLVM's feature string, such as "+avx2,+fma".
        lanes: float32 values in a vector register.
        registers: number of vector registers.
        fma: whether a multiply-add is one instruction.
        level1, level2: sizes of the data caches of one core, bytes.
        tiles: whether it multiplies tiles of bfloat16 (AMX), and this process may use that.
        byte_tiles: whether tiles of bytes are planned too: by instructions where there are `tiles`, which then multiply
            them as well, and slowly, by vectors, elsewhere.
        body: most multiply-adds that the body of an innermost loop may hold. LLVM spills in longer ones than the
            default; where code must be short, it is less.
    """

    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int
    fma: bool
    level1: int = 32 * 1024
    level2: int = 1024 * 1024
    tiles: bool = False
    byte_tiles: bool = False
    body: int = 240

    @property
    def vector_bytes(self) -> int:
        """Size of a vector register, bytes."""
        return 4 * self.lanes

    @property
    def windows(self) -> bool:
        """Whether code is for Windows, whose functions have other names."""
        return "-windows" in self.triple

    @property
    def word_bits(self) -> int:
        """Bits of an address, and of the integers that count."""
        return 32 if architecture_of(self.triple).startswith(NARROW) else 64

    @property
    def architecture(self) -> str:
        """The family that vector instructions belong to: "x86", "arm", "wasm", or another one."""
        families = {"x86_64": "x86", "aarch64": "arm", "arm": "arm", "thumb": "arm", "wasm": "wasm"}
        name = architecture_of(self.triple)
        return next((family for begin, family in families.items() if name.startswith(begin)), name)

    def has(self, *names: str) -> bool:
        """Whether the feature string names all of these; what a processor model implies is not looked up."""
        words = self.features.split(",")
        return all(f"+{name}" in words for name in names)

    @property
    def dot(self) -> Dot:
        """How sums of products of bytes are best taken."""
        missing = [word[1:] for word in self.features.split(",") if word.startswith("-")]
        match self.architecture:
            case "x86":
                wide = self.lanes == 16
                if self.has("avx512vnni") and (wide or (self.lanes == 8 and self.has("avx512vl"))):
                    return "quads"
                if self.lanes == 8 and self.has("avxvnni"):
                    return "quads"
                needed = {16: "avx512bw", 8: "avx2", 4: "sse2"}[self.lanes]
                return "bytes" if needed in missing else "pairs"
            case "wasm":
                return "pairs" if self.has("simd128") else "bytes"
            case "arm" if architecture_of(self.triple) == "aarch64":
                return "signed quads" if self.has("dotprod") else "bytes"
            case "arm" if self.lanes == 1 and (self.triple.startswith("thumbv7em") or self.cpu == "cortex-m33"):
                return "two"
        return "bytes"

    def image_shift(self, *, signed: bool) -> int:
        """Return what sums of products of bytes take each byte of an image to be more than it is."""
        if self.dot == "quads" and signed:
            return 128
        return -128 if self.dot == "signed quads" and not signed else 0

    @property
    def abi(self) -> str:
        """LLVM's name of how functions are called, where the triple does not say it."""
        return {"riscv64": "lp64d", "riscv32": "ilp32f"}.get(architecture_of(self.triple), "")

    @property
    def puts_off(self) -> bool:
        """Whether LLVM puts computations off until results are used: so for WebAssembly, whose code are expressions.

        Sums over a long body would be made one after another, at its end, and all factors be kept until then.
        """
        return self.architecture == "wasm"

    @property
    def picks(self) -> bool:
        """Whether one instruction picks each lane from any of two registers: so with AVX-512, which alone has 16."""
        return self.lanes == 16

    def round_up(self, count: int) -> int:
        """Round a number of float32 values up to whole vectors."""
        return -(-count // self.lanes) * self.lanes

    def tile_rows(self, vectors: int) -> int:
        """Return the most rows of a register tile of `vectors` columns: accumulators, one row of weights and one
        broadcast input must fit the registers (and a product, where multiply-adds are two instructions).
        """
        spare = 1 if self.fma else 2
        return max(1, (self.registers - spare - vectors) // vectors)
