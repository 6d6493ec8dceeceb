"""A function that brings a picture of any size to what a network takes, with the pixels that training saw:

    i32 NAME_resize(ptr picture, i32 height, i32 width, i32 channels, ptr image, ptr memory)

It has Pillow's arithmetic: filters that widen as they shrink; shares of pixels found in float64 and rounded to 22 bits;
one pass along rows and one along columns, with 8 bits between them. Which pass comes first shows in roundings. Neither
keeps a picture: of the first pass as much is made as a pixel of the second one takes.

Sources: Pillow's documentation, Concepts, Filters; R. Keys 1981, Cubic convolution interpolation for digital image
processing (with a = -0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.builder import I8, I32, PTR, Builder, Index, IrValue, int32, word_type
from neocog.nn.shapes import ImageShape
from neocog.target.processor import Target

F64 = ir.DoubleType()
MOST_SIDE = (1 << 15) - 1
"""Pixels that the sides of a picture may have."""

MOST_RESIZED = 1 << 24
"""Pixels that a picture with its shorter side at `side` may have, as in data/resize.py; of a longer strip a part is cut
out first.
"""

LONG = 1 << 30
"""Pixels that no longer side may reach when the shorter one is at `side`."""

_BITS = 22  # of shares, behind the point
_REACH = {"bilinear": 1, "bicubic": 2}  # pixels to each side
_ENTRY = 2  # numbers before the shares of a pixel: the first that goes into it, and how many do
_REFUSED, _DONE = int32(-1 & 0xFFFFFFFF), int32(0)


@dataclass(frozen=True, slots=True)
class Fitting:
    """How pictures are brought to a network's size; see data/resize.py.

    Arguments:
        kind, interpolation, part, side: the rule.
        shape: what the network takes, of 1 channel (grey) or 3 (red, green, blue).
    """

    kind: str
    interpolation: str
    part: float
    side: int | None
    shape: ImageShape

    @property
    def memory_a_side(self) -> int:
        """Bytes of memory for each pixel of height and of width."""
        return 8 * _REACH[self.interpolation]

    @property
    def memory_at_least(self) -> int:
        """Bytes beside these."""
        reach = _REACH[self.interpolation]
        line = self.shape.width * (_ENTRY + 2 + 4 * reach)
        return 4 * (line + _ENTRY + 2 + 4 * reach) + 3


@dataclass(frozen=True, slots=True)
class _Side:
    """One direction of a picture.

    Arguments:
        first, size: the part of the picture that is looked at, pixels.
        scaled: pixels that it becomes.
        offset: which of them is the image's first; negative: so many pixels are black.
        low, high: of the part, what is scaled.
        wanted: pixels of the image.
    """

    first: IrValue
    size: IrValue
    scaled: IrValue
    offset: IrValue
    low: IrValue
    high: IrValue
    wanted: int


def emit_resize(module: ir.Module, name: str, target: Target, fitting: Fitting) -> ir.Function:
    """Write the function. It answers 0, or -1 where it cannot do what is asked."""
    kind = ir.FunctionType(I32, [PTR, I32, I32, I32, PTR, PTR])
    function = ir.Function(module, kind, name)
    function.return_value.add_attribute("signext")
    function.section = f".text.{name}"  # so that linkers can leave it out
    b = Builder(function, target)
    picture, *numbers, image, memory = function.args
    for argument in function.args[1:4]:
        argument.add_attribute("signext")
    high, wide, channels = (number if b.word is I32 else b.ir.sext(number, b.word) for number in numbers)
    fits = b.ir.icmp_unsigned("<", b.ir.sub(high, b.index(1)), b.index(MOST_SIDE))
    fits = b.ir.and_(fits, b.ir.icmp_unsigned("<", b.ir.sub(wide, b.index(1)), b.index(MOST_SIDE)))
    known = b.ir.icmp_signed("==", channels, b.index(1))
    known = b.ir.or_(known, b.ir.icmp_signed("==", channels, b.index(3)))
    down, across, possible = _Geometry(b, fitting, high, wide).sides()
    # What was found of sizes that are out of bounds is nothing to branch on, and so left out by a choice.
    fits = b.ir.select(b.ir.and_(fits, known), possible, ir.Constant(ir.IntType(1), 0))
    with b.when(b.ir.xor(fits, ir.Constant(ir.IntType(1), 1))):
        b.ir.ret(_REFUSED)
        # What follows a return is never reached, but a block must not end twice.
        b.ir.position_at_end(function.append_basic_block("never"))
    _Resizer(b, fitting, picture, wide, channels).write(down, across, image, memory)
    b.ir.ret(_DONE)
    return function


class _Geometry:
    """Writes what of a picture goes where, as `resize_image` in data/resize.py has it."""

    def __init__(self, b: Builder, fitting: Fitting, high: IrValue, wide: IrValue) -> None:
        self.b, self.fitting, self.high, self.wide = b, fitting, high, wide

    def sides(self) -> tuple[_Side, _Side, IrValue]:
        """Return down, across, and whether this can be done."""
        b, rows, columns = self.b, self.fitting.shape.height, self.fitting.shape.width
        whole = self._side(self.high, b.index(rows), 0, rows), self._side(self.wide, b.index(columns), 0, columns)
        possible = ir.Constant(ir.IntType(1), 1)
        match self.fitting.kind:
            case "crop":
                return *self._cropped(rows, columns), possible
            case "pad":
                return *self._padded(rows, columns), possible
            case "short":
                return self._short(rows, columns)
        return *whole, possible

    def _side(
        self,
        size: IrValue,
        scaled: IrValue,
        offset: Index,
        wanted: int,
        first: Index = 0,
        low: IrValue | None = None,
        high: IrValue | None = None,
    ) -> _Side:
        b = self.b
        begin = _double(0.0) if low is None else low
        end = b.ir.sitofp(size, F64) if high is None else high
        return _Side(b.index(first), size, scaled, b.index(offset), begin, end, wanted)

    def _cropped(self, rows: int, columns: int) -> tuple[_Side, _Side]:
        b = self.b
        wider = b.less(b.mul(self.high, columns), b.mul(self.wide, rows))

        def part(size: IrValue, other: IrValue, mine: int, others: int, *, longer: bool) -> tuple[IrValue, IrValue]:
            # A quotient of whole numbers below 2^53, rounded down, is exact in float64.
            cut = b.ir.fptosi(b.ir.fdiv(b.ir.sitofp(b.mul(other, mine), F64), _double(others)), b.word)
            taken = b.ir.select(wider, cut, size) if longer else b.ir.select(wider, size, cut)
            share = b.ir.fmul(b.ir.sitofp(taken, F64), _double(self.fitting.part))
            taken = b.maximum(1, b.ir.fptosi(b.ir.fadd(share, _double(1e-9)), b.word))
            return taken, b.ir.ashr(b.sub(size, taken), b.index(1))

        across, left = part(self.wide, self.high, columns, rows, longer=True)
        down, upper = part(self.high, self.wide, rows, columns, longer=False)
        return (
            self._side(down, b.index(rows), 0, rows, upper),
            self._side(across, b.index(columns), 0, columns, left),
        )

    def _padded(self, rows: int, columns: int) -> tuple[_Side, _Side]:
        b = self.b
        high, wide = (b.ir.sitofp(size, F64) for size in (self.high, self.wide))
        one, two = b.ir.fdiv(_double(rows), high), b.ir.fdiv(_double(columns), wide)
        scale = b.ir.select(b.ir.fcmp_ordered("<", two, one), two, one)

        def side(size: IrValue, length: IrValue, wanted: int) -> _Side:
            scaled = b.maximum(1, self._to_even(b.ir.fmul(length, scale)))
            return self._side(size, scaled, b.sub(0, b.ir.ashr(b.sub(wanted, scaled), b.index(1))), wanted)

        return side(self.high, high, rows), side(self.wide, wide, columns)

    def _to_even(self, value: IrValue) -> IrValue:
        """Round what is not negative, and a half to the even neighbour."""
        b = self.b
        below = b.ir.fptosi(value, b.word)
        rest = b.ir.fsub(value, b.ir.sitofp(below, F64))
        above = b.ir.select(b.ir.fcmp_ordered(">", rest, _double(0.5)), b.index(1), b.index(0))
        tie = b.ir.fcmp_ordered("==", rest, _double(0.5))
        return b.add(below, b.ir.select(tie, b.ir.and_(below, b.index(1)), above))

    def _short(self, rows: int, columns: int) -> tuple[_Side, _Side, IrValue]:
        b, side = self.b, self.fitting.side
        assert side is not None
        largest, least = b.maximum(self.high, self.wide), b.minimum(self.high, self.wide)
        ratio = b.ir.fdiv(b.ir.sitofp(b.mul(largest, side), F64), b.ir.sitofp(least, F64))
        possible = b.ir.fcmp_ordered("<", ratio, _double(LONG))
        ratio = b.ir.select(possible, ratio, _double(LONG))
        longer = b.ir.fptosi(ratio, b.word)
        lies = b.less(self.high, self.wide)
        across = b.ir.select(lies, longer, b.index(side))
        down = b.ir.select(lies, b.index(side), longer)
        pixels = b.ir.fmul(b.ir.sitofp(longer, F64), _double(side))
        large = b.ir.fcmp_ordered(">", pixels, _double(MOST_RESIZED))

        def one(size: IrValue, scaled: IrValue, wanted: int) -> _Side:
            # Of a long strip only what is seen is scaled, from a box with edges in float32.
            offset = self._offset(scaled, wanted)
            seen, length = b.minimum(scaled, wanted), b.ir.sitofp(size, F64)
            step = b.ir.fdiv(length, b.ir.sitofp(scaled, F64))
            low = b.ir.fmul(b.ir.sitofp(b.maximum(offset, 0), F64), step)
            high = b.ir.fadd(low, b.ir.fmul(b.ir.sitofp(seen, F64), step))
            high = b.ir.select(b.ir.fcmp_ordered("<", high, length), high, length)
            low, high = (b.ir.fpext(b.ir.fptrunc(edge, ir.FloatType()), F64) for edge in (low, high))
            return self._side(
                size,
                b.ir.select(large, seen, scaled),
                b.ir.select(large, b.minimum(offset, 0), offset),
                wanted,
                low=b.ir.select(large, low, _double(0.0)),
                high=b.ir.select(large, high, length),
            )

        return one(self.high, down, rows), one(self.wide, across, columns), possible

    def _offset(self, have: IrValue, want: int) -> IrValue:
        """Return where a cut of `want` pixels out of `have` begins: a half goes to the even neighbour."""
        b = self.b
        over = b.sub(have, want)
        half = b.ir.ashr(over, b.index(1))
        tie = b.ir.and_(b.ir.and_(over, b.index(1)), half)  # 1 where a half would go to what is odd
        under = b.sub(0, b.ir.ashr(b.sub(want, have), b.index(1)))
        return b.ir.select(b.less(over, 0), under, b.add(half, tie))


class _Resizer:
    """Writes the pixels of an image."""

    def __init__(self, b: Builder, fitting: Fitting, picture: IrValue, wide: IrValue, channels: IrValue) -> None:
        self.b, self.fitting, self.picture, self.wide, self.channels = b, fitting, picture, wide, channels
        self.taps = _emit_taps(b.function.module, b.target, fitting.interpolation, f"{b.function.name}_taps")

    def write(self, down: _Side, across: _Side, image: IrValue, memory: IrValue) -> None:
        """Write the image, in memory for the shares of the pixels of a line and of one row."""
        b, shape = self.b, self.fitting.shape
        place = b.ir.ptrtoint(memory, b.word)
        memory = b.at(memory, b.ir.and_(b.ir.sub(b.index(0), place), b.index(3)), I8)
        with b.loop(0, shape.height * shape.width * shape.channels) as (byte, _):
            b.store_scalar(ir.Constant(I8, 0), image, byte)
        row_entry, room = memory, self._room(down)
        line = b.at(memory, room, I32)
        each = self._room(across)
        columns = self._seen(across)
        with b.loop(*columns) as (column, _):
            self._find(across, column, b.at(line, b.mul(b.sub(column, columns[0]), each), I32))
        # Down comes first where it takes away more than twice as much.
        lost, narrower = b.sub(down.size, down.scaled), b.sub(across.size, across.scaled)
        first = b.ir.and_(b.less(0, lost), b.less(b.mul(narrower, 2), lost))
        steps = b.ir.select(first, b.index(1), self.wide), b.ir.select(first, self.wide, b.index(1))
        begin = b.add(b.mul(down.first, self.wide), across.first)
        with b.loop(*self._seen(down)) as (row, _):
            self._find(down, row, row_entry)
            with b.loop(*columns) as (column, _):
                entry = b.at(line, b.mul(b.sub(column, columns[0]), each), I32)
                outer, inner = b.ir.select(first, entry, row_entry), b.ir.select(first, row_entry, entry)
                above, left = self._number(row_entry, 0), self._number(entry, 0)
                pixel = b.add(b.add(begin, b.mul(above, self.wide)), left)
                written = b.mul(b.add(b.mul(row, shape.width), column), shape.channels)
                for channel in range(shape.channels):
                    value = self._blended(outer, inner, steps, pixel, channel)
                    b.store_scalar(b.ir.trunc(value, I8), image, b.add(written, channel))

    def _room(self, side: _Side) -> IrValue:
        """Return the numbers of an entry: at least as many as a pixel takes."""
        b, reach = self.b, _REACH[self.fitting.interpolation]
        step = b.ir.fdiv(b.ir.fsub(side.high, side.low), b.ir.sitofp(side.scaled, F64))
        step = b.ir.select(b.ir.fcmp_ordered("<", step, _double(1.0)), _double(1.0), step)
        return b.add(b.ir.fptosi(b.ir.fmul(step, _double(2.0 * reach)), b.word), _ENTRY + 2)

    def _seen(self, side: _Side) -> tuple[IrValue, IrValue]:
        """Return the first pixel of the image that is not black, and the first one behind the last."""
        b = self.b
        return b.maximum(0, b.sub(0, side.offset)), b.minimum(side.wanted, b.sub(side.scaled, side.offset))

    def _find(self, side: _Side, place: IrValue, entry: IrValue) -> None:
        b = self.b
        b.ir.call(self.taps, [side.low, side.high, side.scaled, side.size, b.add(place, side.offset), entry])

    def _number(self, entry: IrValue, place: Index) -> IrValue:
        b = self.b
        number = b.load_scalar(entry, place, I32)
        return number if b.word is I32 else b.ir.sext(number, b.word)

    def _blended(
        self, outer: IrValue, inner: IrValue, steps: tuple[IrValue, IrValue], pixel: IrValue, channel: int
    ) -> IrValue:
        """Return a blend of blends, each rounded to 8 bits."""
        b = self.b

        def blend(entry: IrValue, value: Callable[[IrValue], IrValue]) -> IrValue:
            sums = [int32(1 << (_BITS - 1))]
            with b.loop(0, self._number(entry, 1), sums) as (tap, values):
                share = b.load_scalar(entry, b.add(tap, _ENTRY), I32)
                values[0] = b.ir.add(values[0], b.ir.mul(value(tap), share))
            whole = b.ir.ashr(values[0], int32(_BITS))
            whole = b.ir.select(b.ir.icmp_signed("<", whole, int32(0)), int32(0), whole)
            return b.ir.select(b.ir.icmp_signed(">", whole, int32(255)), int32(255), whole)

        def line(tap: IrValue) -> IrValue:
            begin = b.add(pixel, b.mul(tap, steps[0]))
            return blend(inner, lambda other: self._pixel(b.add(begin, b.mul(other, steps[1])), channel))

        return blend(outer, line)

    def _pixel(self, place: IrValue, channel: int) -> IrValue:
        """Return one channel of a pixel, as the network takes it."""
        b = self.b
        begin = b.mul(place, self.channels)
        coloured = b.ir.icmp_signed("==", self.channels, b.index(3))

        def at(number: int) -> IrValue:
            place = b.add(begin, b.ir.select(coloured, b.index(number), b.index(0)))
            return b.ir.zext(b.load_scalar(self.picture, place, I8), I32)

        if self.fitting.shape.channels == 3:
            return at(channel)
        parts = [b.ir.mul(at(number), int32(weight)) for number, weight in enumerate((19595, 38470, 7471))]
        total = b.ir.add(b.ir.add(parts[0], parts[1]), b.ir.add(parts[2], int32(32768)))
        # Of grey this is grey: the weights add up to 65,536.
        return b.ir.lshr(total, int32(16))


def _emit_taps(module: ir.Module, target: Target, interpolation: str, name: str) -> ir.Function:
    """Write `taps(double low, double high, word scaled, word size, word place, ptr entry)`: which pixels of a line go
    into one of a scaled line, and their shares.
    """
    word = word_type(target)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [F64, F64, word, word, word, PTR]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.section = f".text.{name}"
    b = Builder(function, target)
    low, high, scaled, size, place, entry = function.args
    step = b.ir.fdiv(b.ir.fsub(high, low), b.ir.sitofp(scaled, F64))
    wide = b.ir.select(b.ir.fcmp_ordered("<", step, _double(1.0)), _double(1.0), step)
    middle = b.ir.fmul(b.ir.fadd(b.ir.sitofp(place, F64), _double(0.5)), step)
    centre, far = b.ir.fadd(low, middle), b.ir.fmul(wide, _double(_REACH[interpolation]))
    first = b.maximum(0, b.ir.fptosi(b.ir.fadd(b.ir.fsub(centre, far), _double(0.5)), b.word))
    end = b.minimum(size, b.ir.fptosi(b.ir.fadd(b.ir.fadd(centre, far), _double(0.5)), b.word))
    count = b.sub(end, first)
    narrow = b.ir.fdiv(_double(1.0), wide)

    def weight(tap: IrValue) -> IrValue:
        off = b.ir.fadd(b.ir.fsub(b.ir.sitofp(b.add(tap, first), F64), centre), _double(0.5))
        off = b.ir.fmul(off, narrow)
        below = b.ir.fcmp_ordered("<", off, _double(0.0))
        return _weigh(b, interpolation, b.ir.select(below, b.ir.fneg(off), off))

    with b.loop(0, count, [_double(0.0)]) as (tap, totals):
        totals[0] = b.ir.fadd(totals[0], weight(tap))
    none = b.ir.fcmp_ordered("==", totals[0], _double(0.0))
    total = b.ir.select(none, _double(1.0), totals[0])
    b.store_scalar(b.as_i32(first), entry, 0)
    b.store_scalar(b.as_i32(count), entry, 1)
    with b.loop(0, count) as (tap, _):
        share = b.ir.fmul(b.ir.fdiv(weight(tap), total), _double(1 << _BITS))
        below = b.ir.fcmp_ordered("<", share, _double(0.0))
        share = b.ir.fadd(share, b.ir.select(below, _double(-0.5), _double(0.5)))
        b.store_scalar(b.ir.fptosi(share, I32), entry, b.add(tap, _ENTRY))
    b.ir.ret_void()
    return function


def _weigh(b: Builder, interpolation: str, x: IrValue) -> IrValue:
    """Return a filter's value at a distance."""
    near = b.ir.fcmp_ordered("<", x, _double(1.0))
    if interpolation == "bilinear":
        return b.ir.select(near, b.ir.fsub(_double(1.0), x), _double(0.0))
    inside = b.ir.fmul(b.ir.fmul(b.ir.fsub(b.ir.fmul(x, _double(1.5)), _double(2.5)), x), x)
    outside = b.ir.fmul(b.ir.fadd(b.ir.fmul(b.ir.fsub(x, _double(5.0)), x), _double(8.0)), x)
    outside = b.ir.fadd(b.ir.fmul(outside, _double(-0.5)), _double(2.0))
    outside = b.ir.select(b.ir.fcmp_ordered("<", x, _double(2.0)), outside, _double(0.0))
    return b.ir.select(near, b.ir.fadd(inside, _double(1.0)), outside)


def _double(value: float) -> ir.Constant:
    return ir.Constant(F64, float(value))
