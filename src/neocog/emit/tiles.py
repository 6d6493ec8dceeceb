"""Products of tiles, by two backends that give the same bits: a processor's tile registers (AMX), and vectors.

A tile of a has 16 rows of 32 bfloat16; one of b 16 rows of 16 pairs, a pair for two neighbouring k. For one element of
c, tile registers compute two chains from zero, over even and over odd k in rising order, each step a multiply-add of
float32 in one rounding; add the two; and add that to c. Denormal numbers count as zero, and become zero. The vectors do
the same, with the processor's own mode for denormal numbers set around them. Without an instruction that multiplies and
adds in one rounding (SSE2) the bits are the same too, since a product of two bfloat16 is exact, but where it lies
outside of float32's normal range.

A tile of bytes has rows of 64, or 16 words of four, one for four neighbouring k. Those of images have a sign or none,
those of weights have one; sums are whole numbers of 32 bits, exact in any order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from neocog.emit.builder import F32, I8, I16, I32, I64, PTR, Builder, Index, IrValue
from neocog.emit.dot import add_byte_by_byte
from neocog.plan.blocked import PANEL, PLANE, TILE_ROWS
from neocog.plan.ops.product import TileFactors, TileProduct
from neocog.plan.ops.tile_gradient import TileGradient
from neocog.plan.program import Program
from neocog.target.processor import architecture_of

TILES = 8  # registers
CONFIGURATION = 64  # bytes
ROW_BYTES = 64  # of a tile
TILE_BYTES = TILE_ROWS * ROW_BYTES
SUMS_STEP = 4 * PANEL  # bytes from a row of a block's sums to the next one
PAIRS = PLANE // 2
INSTRUCTIONS: dict[TileFactors, str] = {
    "bfloat16": "tdpbf16ps",
    "bytes": "tdpbusd",
    "signed bytes": "tdpbssd",
}
TOGETHER = {16: (4, 2), 8: (2, 2), 4: (2, 2)}  # by lanes: rows and vectors of c that stay in registers
FLUSHING = 0x8040  # bits of x86's MXCSR: denormal inputs are zero, and so are denormal results
FLUSHING_ARM = 1 << 24  # of AArch64's FPCR, for both


Between = Callable[[], None]


def nothing() -> None:
    """Write nothing."""


class Tiles(ABC):
    """A block of sums: 32 rows of 32, four bytes each, which begins at zero, takes products up and ends in memory."""

    def __init__(self, b: Builder, sums: IrValue) -> None:
        self.b, self.sums = b, sums

    @abstractmethod
    def zero(self) -> None:
        """Begin a block."""

    @abstractmethod
    def multiply(
        self, upper: IrValue, lower: IrValue, step: Index, weights: IrValue, between: Between = nothing
    ) -> None:
        """Add the products of two tiles of rows, each row `step` bytes from the one before, with 2 KiB of weights.

        `between` is asked to write what comes behind each of the four products.
        """

    @abstractmethod
    def store(self) -> None:
        """Bring the sums into memory."""


def tiles_of(b: Builder, sums: IrValue, factors: TileFactors = "bfloat16") -> Tiles:
    """Return the backend of a target. To be asked for at the beginning of a function."""
    if b.target.tiles:
        return _Registers(b, sums, factors)
    return _Vectors(b, sums) if factors == "bfloat16" else _VectorsOfBytes(b, sums, factors)


class _Registers(Tiles):
    """Tile registers: four of sums, two of rows, two of weights.

    Their numbers are constants, as LLVM wants them; nothing stays in them when a call from Python ends.
    """

    UPPER, LOWER, LEFT, RIGHT = 4, 5, 6, 7

    def __init__(self, b: Builder, sums: IrValue, factors: TileFactors) -> None:
        super().__init__(b, sums)
        self._instruction = INSTRUCTIONS[factors]

    def zero(self) -> None:
        """Begin a block."""
        for tile in range(4):
            call(self.b, "tilezero", _number(tile))

    def multiply(
        self, upper: IrValue, lower: IrValue, step: Index, weights: IrValue, between: Between = nothing
    ) -> None:
        """Four products; each is written behind the loads that it needs."""
        b = self.b
        self._load(self.LEFT, weights, ROW_BYTES)
        self._load(self.UPPER, upper, step)
        self._product(0, self.UPPER, self.LEFT)
        between()
        self._load(self.RIGHT, b.at(weights, TILE_BYTES, I8), ROW_BYTES)
        self._product(1, self.UPPER, self.RIGHT)
        between()
        self._load(self.LOWER, lower, step)
        self._product(2, self.LOWER, self.LEFT)
        between()
        self._product(3, self.LOWER, self.RIGHT)
        between()

    def store(self) -> None:
        """Bring the sums into memory."""
        b = self.b
        for tile in range(4):
            place = (tile // 2) * TILE_ROWS * SUMS_STEP + (tile % 2) * ROW_BYTES
            call(b, "tilestored64", _number(tile), b.at(self.sums, place, I8), b.index(SUMS_STEP))

    def _load(self, tile: int, address: IrValue, step: Index) -> None:
        call(self.b, "tileloadd64", _number(tile), address, self.b.index(step))

    def _product(self, sums: int, rows: int, weights: int) -> None:
        call(self.b, self._instruction, _number(sums), _number(rows), _number(weights))


class _Vectors(Tiles):
    """Vectors of float32: sums stay in memory, and one function multiplies a tile of rows by both tiles of weights."""

    def __init__(self, b: Builder, sums: IrValue) -> None:
        super().__init__(b, sums)
        self._modes = _Modes(b)
        self._product = _product_of_vectors(b)

    def zero(self) -> None:
        """Begin a block."""
        _clear(self.b, self.sums)

    def multiply(
        self, upper: IrValue, lower: IrValue, step: Index, weights: IrValue, between: Between = nothing
    ) -> None:
        """Two calls, around which denormal numbers are flushed: what comes between products computes as ever."""
        b = self.b
        self._modes.flush()
        for tile, rows in enumerate((upper, lower)):
            b.ir.call(self._product, [b.at(self.sums, tile * TILE_ROWS * PANEL), rows, b.index(step), weights])
        self._modes.restore()
        for _ in range(4):
            between()

    def store(self) -> None:
        """Nothing: sums are in memory."""


class _VectorsOfBytes(Tiles):
    """Vectors of whole numbers, by which any processor shows what tiles of bytes give."""

    def __init__(self, b: Builder, sums: IrValue, factors: TileFactors) -> None:
        super().__init__(b, sums)
        self._product = _product_of_bytes(b, signed=factors == "signed bytes")

    def zero(self) -> None:
        """Begin a block."""
        _clear(self.b, self.sums)

    def multiply(
        self, upper: IrValue, lower: IrValue, step: Index, weights: IrValue, between: Between = nothing
    ) -> None:
        """Two calls."""
        b = self.b
        for tile, rows in enumerate((upper, lower)):
            b.ir.call(self._product, [b.at(self.sums, tile * TILE_ROWS * PANEL), rows, b.index(step), weights])
        for _ in range(4):
            between()

    def store(self) -> None:
        """Nothing: sums are in memory."""


def _clear(b: Builder, sums: IrValue) -> None:
    with b.loop(0, 2 * TILE_ROWS * PANEL // b.lanes) as (vector, _):
        b.store(b.splat(0.0), sums, b.mul(vector, b.lanes))


class _Modes:
    """What a processor does with denormal numbers: set while tiles are multiplied, and set back."""

    def __init__(self, b: Builder) -> None:
        self._b = b
        self._arm = architecture_of(b.target.triple) == "aarch64"
        self._before: IrValue = None
        self._places = [] if self._arm else [b.ir.alloca(I32, 1, align=4) for _ in range(2)]

    def flush(self) -> None:
        """Take denormal numbers as zeros from here on."""
        b = self._b
        if self._arm:
            self._before = b.ir.call(_declared(b, "llvm.aarch64.get.fpcr", I64, []), [])
            flushing = b.ir.or_(self._before, b.index(FLUSHING_ARM))
            b.ir.call(_declared(b, "llvm.aarch64.set.fpcr", ir.VoidType(), [I64]), [flushing])
            return
        before, flushing = self._places
        b.ir.call(_declared(b, "llvm.x86.sse.stmxcsr", ir.VoidType(), [PTR]), [before])
        b.ir.store(b.ir.or_(b.load_scalar(before, 0, I32), ir.Constant(I32, FLUSHING)), flushing, align=4)
        b.ir.call(_declared(b, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [PTR]), [flushing])

    def restore(self) -> None:
        """Go back to what was before."""
        b = self._b
        if self._arm:
            b.ir.call(_declared(b, "llvm.aarch64.set.fpcr", ir.VoidType(), [I64]), [self._before])
        else:
            b.ir.call(_declared(b, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [PTR]), [self._places[0]])


def _product_of_vectors(b: Builder) -> ir.Function:
    """Return the function that adds a tile of rows times two tiles of weights to 16 rows of sums.

    void tile_product(ptr sums, ptr rows, i64 step, ptr weights)

    It is a function of its own, so that LLVM moves none of its arithmetic out of where denormal numbers are flushed.
    """
    return _function(b, "tile_product", _emit_product)


def _product_of_bytes(b: Builder, *, signed: bool) -> ir.Function:
    """Return the function that does the same with bytes."""
    name = "tile_product_of_signed_bytes" if signed else "tile_product_of_bytes"
    return _function(b, name, lambda inside: _emit_product_of_bytes(inside, signed=signed))


def _function(b: Builder, name: str, write: Callable[[Builder], None]) -> ir.Function:
    module = b.function.module
    found = module.globals.get(name)
    if found is not None:
        return found
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, PTR, I64, PTR]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    write(Builder(function, b.target))
    return function


def _emit_product_of_bytes(b: Builder, *, signed: bool) -> None:
    sums, rows, step, weights = b.function.args
    with b.loop(0, PANEL // b.lanes) as (vector, _), b.loop(0, TILE_ROWS) as (row, _):
        column = b.mul(vector, b.lanes)
        tile, within = b.divmod(column, TILE_ROWS)
        panel, base = b.at(weights, b.add(b.mul(tile, TILE_BYTES // 4), within)), b.at(rows, b.mul(row, step), I8)
        place = b.add(b.mul(row, PANEL), column)
        with b.loop(0, ROW_BYTES // 4, [b.load(sums, place, kind=b.vector_i32)]) as (word, total):
            given = b.ir.load(b.at(base, b.mul(word, 4), I8), typ=I32, align=1)
            filters = b.load(panel, b.mul(word, TILE_ROWS), kind=b.vector_i32)
            total[0] = add_byte_by_byte(b, total[0], b.spread(given, b.vector_i32), filters, signed=signed)
        b.ir.store(total[0], b.at(sums, place), align=b.target.vector_bytes)
    b.ir.ret_void()


def _emit_product(b: Builder) -> None:
    sums, rows, step, weights = b.function.args
    together, vectors = TOGETHER[b.lanes]
    high = ir.Constant(b.vector_i32, [ir.Constant(I32, -65536)] * b.lanes)
    with b.loop(0, PANEL // (vectors * b.lanes)) as (group, _), b.loop(0, TILE_ROWS // together) as (part, _):
        first = b.mul(part, together)
        column = b.mul(group, vectors * b.lanes)
        # A tile of weights has 16 filters.
        tile, within = b.divmod(column, TILE_ROWS)
        panel = b.at(weights, b.add(b.mul(tile, TILE_BYTES // 4), within), F32)
        base = b.at(rows, b.mul(first, step), I8)
        zeros = [b.splat(0.0)] * (2 * together * vectors)
        with b.loop(0, PAIRS, zeros) as (pair, chains):
            both = []
            for v in range(vectors):
                across, lane = divmod(v * b.lanes, TILE_ROWS)
                place = b.add(b.mul(pair, TILE_ROWS), across * (TILE_BYTES // 4) + lane)
                words = b.ir.load(b.at(panel, place, F32), typ=b.vector_i32, align=b.target.vector_bytes)
                both.append(_halves(b, words, high))
            for row in range(together):
                word = b.load_scalar(b.at(base, b.mul(step, row), I8), pair, I32)
                even, odd = _halves(b, b.spread(word, b.vector_i32), high)
                for v in range(vectors):
                    at = 2 * (row * vectors + v)
                    chains[at] = b.multiply_add(even, both[v][0], chains[at])
                    chains[at + 1] = b.multiply_add(odd, both[v][1], chains[at + 1])
        for row in range(together):
            for v in range(vectors):
                at = 2 * (row * vectors + v)
                place = b.add(b.mul(b.add(first, row), PANEL), b.add(column, v * b.lanes))
                both_chains = b.ir.fadd(chains[at], chains[at + 1])
                b.store(b.ir.fadd(b.load(sums, place), both_chains), sums, place)
    b.ir.ret_void()


def _halves(b: Builder, words: IrValue, high: IrValue) -> tuple[IrValue, IrValue]:
    """Return the two bfloat16 of each word as float32: that of the even k, and that of the odd one."""
    even = b.ir.bitcast(b.ir.shl(words, b.splat_i32(16)), b.vector)
    return even, b.ir.bitcast(b.ir.and_(words, high), b.vector)


# --- tile registers ---------------------------------------------------------------------------------------------------


@contextmanager
def configured(b: Builder, program: Program) -> Iterator[None]:
    """Write a function that uses a program's tiles: each thread sets its registers up, and gives them back."""
    if not uses_tile_registers(program):
        yield
        return
    with registers_set_up(b):
        yield


@contextmanager
def registers_set_up(b: Builder) -> Iterator[None]:
    """Write code that multiplies in tile registers: it sets them up before, and gives them back behind."""
    configuration = b.ir.alloca(I8, CONFIGURATION, align=CONFIGURATION)
    with b.loop(0, CONFIGURATION // 8) as (word, _):
        b.ir.store(ir.Constant(I64, 0), b.at(configuration, word, I64), align=8)
    b.store_scalar(ir.Constant(I8, 1), configuration, 0)  # the palette
    for tile in range(TILES):
        b.store_scalar(ir.Constant(I16, ROW_BYTES), b.at(configuration, 16, I8), tile)
        b.store_scalar(ir.Constant(I8, TILE_ROWS), configuration, 48 + tile)
    call(b, "ldtilecfg", configuration)
    yield
    call(b, "tilerelease")


def uses_tile_registers(program: Program) -> bool:
    """Whether a program multiplies in tile registers."""
    return program.target.tiles and any(
        isinstance(stage, TileProduct | TileGradient) for stage in program.every_stage()
    )


def call(b: Builder, name: str, *values: IrValue) -> None:
    """Call an intrinsic of tile registers."""
    b.ir.call(_declared(b, f"llvm.x86.{name}", ir.VoidType(), [value.type for value in values]), values)


def _number(tile: int) -> ir.Constant:
    assert 0 <= tile < TILES  # LLVM ends the process at another one
    return ir.Constant(I8, tile)


def _declared(b: Builder, name: str, given: ir.Type, taken: list[ir.Type]) -> ir.Function:
    module = b.function.module
    found = module.globals.get(name)
    return found if found is not None else ir.Function(module, ir.FunctionType(given, taken), name)
