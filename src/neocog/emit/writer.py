"""Instructions written straight down as text: llvmlite's IRBuilder, as far as the emitters use it, in an eighth of its
time.

llvmlite keeps an object for every instruction and turns it into text in the end; here an instruction is a line from the
start. Modules, functions, blocks, types and constants stay llvmlite's, which print whatever a block holds, line by
line. Names and arguments are those of `llvmlite.ir.IRBuilder`, so its manual holds. Types are not checked here: LLVM
refuses a text that is wrong.

What a block has computed or loaded already is not written again: the emitters need not care that two taps read the
same pixel, and LLVM need not find it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from llvmlite import ir

Operand = Any  # a Result, or llvmlite's constants, arguments and functions
BIT = ir.IntType(1)
SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
UNSIGNED = {"==": "eq", "!=": "ne", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge"}
COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


class Result:
    """What an instruction gives: a type and a name."""

    __slots__ = ("_reference", "type")

    def __init__(self, kind: ir.Type, reference: str) -> None:
        self.type, self._reference = kind, reference

    def get_reference(self) -> str:
        """Return the name, as operands are written."""
        return self._reference


class Sum(Result):
    """An integer that is another one and a constant."""

    __slots__ = ("constant", "rest")

    def __init__(self, kind: ir.Type, reference: str, rest: Operand, constant: ir.Constant) -> None:
        super().__init__(kind, reference)
        self.rest, self.constant = rest, constant


class Phi(Result):
    """A value that depends on the block before; its line is complete once every such block was added."""

    __slots__ = ("_incoming",)

    def __init__(self, kind: ir.Type, reference: str) -> None:
        super().__init__(kind, reference)
        self._incoming: list[str] = []

    def add_incoming(self, value: Operand, block: ir.Block) -> None:
        """Take `value` when control comes from `block`."""
        self._incoming.append(f"[{value.get_reference()}, {block.get_reference()}]")

    def __str__(self) -> str:
        return f"{self._reference} = phi {self.type} {', '.join(self._incoming)}"


class Writer:
    """Writes instructions to the end of a block."""

    def __init__(self, block: ir.Block) -> None:
        self.block = block
        self._lines: list[object] = block.instructions
        self._function = block.function
        self._results = 0
        self._computed: dict[str, Result] = {}  # what this block holds already, by what was written
        self._loaded: dict[str, Result] = {}  # likewise, until something is stored

    def position_at_end(self, block: ir.Block) -> None:
        """Go on in another block."""
        self.block, self._lines = block, block.instructions
        self._computed, self._loaded = {}, {}

    def _name(self) -> str:
        self._results += 1
        return f"%v{self._results}"  # llvmlite's own names hold a dot or a word: they never meet

    def _write(self, kind: ir.Type, text: str) -> Result:
        name = self._name()
        self._lines.append(f"{name} = {text}")
        return Result(kind, name)

    def _result(self, kind: ir.Type, text: str) -> Result:
        """Write what depends on its operands alone."""
        found = self._computed.get(text)
        if found is None:
            found = self._computed[text] = self._write(kind, text)
        return found

    # --- arithmetic -----------------------------------------------------------------------------------------------

    def _binary(self, operation: str, x: Operand, y: Operand, flags: Sequence[str]) -> Result:
        words = " ".join((operation, *flags)) if flags else operation
        return self._result(x.type, f"{words} {x.type} {x.get_reference()}, {y.get_reference()}")

    def add(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x + y, integers."""
        total = self._binary("add", x, y, flags)
        return Sum(total.type, total.get_reference(), x, y) if isinstance(y, ir.Constant) else total

    def sub(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x - y, integers."""
        return self._binary("sub", x, y, flags)

    def mul(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x · y, integers."""
        return self._binary("mul", x, y, flags)

    def udiv(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x / y, rounded down, integers without sign."""
        return self._binary("udiv", x, y, flags)

    def and_(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x and y, bit by bit."""
        return self._binary("and", x, y, flags)

    def or_(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x or y, bit by bit."""
        return self._binary("or", x, y, flags)

    def xor(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x or else y, bit by bit."""
        return self._binary("xor", x, y, flags)

    def shl(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x shifted up by y bits."""
        return self._binary("shl", x, y, flags)

    def ashr(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x shifted down by y bits, copies of the sign coming in."""
        return self._binary("ashr", x, y, flags)

    def lshr(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x shifted down by y bits, zeros coming in."""
        return self._binary("lshr", x, y, flags)

    def fadd(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x + y, floating-point."""
        return self._binary("fadd", x, y, flags)

    def fsub(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x - y, floating-point."""
        return self._binary("fsub", x, y, flags)

    def fmul(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x · y, floating-point."""
        return self._binary("fmul", x, y, flags)

    def fdiv(self, x: Operand, y: Operand, flags: Sequence[str] = ()) -> Result:
        """x / y, floating-point."""
        return self._binary("fdiv", x, y, flags)

    def fneg(self, x: Operand) -> Result:
        """-x, floating-point; zeros and NaNs change their sign too."""
        return self._result(x.type, f"fneg {x.type} {x.get_reference()}")

    # --- comparisons and conversions ------------------------------------------------------------------------------

    def _compare(self, words: str, x: Operand, y: Operand) -> Result:
        kind = ir.VectorType(BIT, x.type.count) if isinstance(x.type, ir.VectorType) else BIT
        return self._result(kind, f"{words} {x.type} {x.get_reference()}, {y.get_reference()}")

    def icmp_signed(self, comparison: str, x: Operand, y: Operand) -> Result:
        """Compare integers with sign."""
        return self._compare(f"icmp {SIGNED[comparison]}", x, y)

    def icmp_unsigned(self, comparison: str, x: Operand, y: Operand) -> Result:
        """Compare integers without sign."""
        return self._compare(f"icmp {UNSIGNED[comparison]}", x, y)

    def fcmp_ordered(self, comparison: str, x: Operand, y: Operand) -> Result:
        """Compare floating-point numbers; false if one is NaN."""
        return self._compare("fcmp ord" if comparison == "ord" else f"fcmp o{COMPARISONS[comparison]}", x, y)

    def fcmp_unordered(self, comparison: str, x: Operand, y: Operand) -> Result:
        """Compare floating-point numbers; true if one is NaN."""
        return self._compare("fcmp uno" if comparison == "uno" else f"fcmp u{COMPARISONS[comparison]}", x, y)

    def select(self, condition: Operand, x: Operand, y: Operand) -> Result:
        """x where the condition holds, else y."""
        chosen = f"{condition.type} {condition.get_reference()}"
        return self._result(x.type, f"select {chosen}, {x.type} {x.get_reference()}, {x.type} {y.get_reference()}")

    def _convert(self, operation: str, x: Operand, kind: ir.Type) -> Operand:
        if x.type == kind:
            return x
        return self._result(kind, f"{operation} {x.type} {x.get_reference()} to {kind}")

    def trunc(self, x: Operand, kind: ir.Type) -> Operand:
        """The low bits."""
        return self._convert("trunc", x, kind)

    def zext(self, x: Operand, kind: ir.Type) -> Operand:
        """More bits, zeros."""
        return self._convert("zext", x, kind)

    def sext(self, x: Operand, kind: ir.Type) -> Operand:
        """More bits, copies of the sign."""
        return self._convert("sext", x, kind)

    def sitofp(self, x: Operand, kind: ir.Type) -> Operand:
        """An integer with sign as floating-point."""
        return self._convert("sitofp", x, kind)

    def uitofp(self, x: Operand, kind: ir.Type) -> Operand:
        """An integer without sign as floating-point."""
        return self._convert("uitofp", x, kind)

    def fptosi(self, x: Operand, kind: ir.Type) -> Operand:
        """Floating-point as an integer with sign, rounded to zero; what does not fit gives anything."""
        return self._convert("fptosi", x, kind)

    def fpext(self, x: Operand, kind: ir.Type) -> Operand:
        """Floating-point in more bits."""
        return self._convert("fpext", x, kind)

    def fptrunc(self, x: Operand, kind: ir.Type) -> Operand:
        """Floating-point in fewer bits, rounded to nearest."""
        return self._convert("fptrunc", x, kind)

    def ptrtoint(self, x: Operand, kind: ir.Type) -> Operand:
        """An address as an integer."""
        return self._convert("ptrtoint", x, kind)

    def bitcast(self, x: Operand, kind: ir.Type) -> Operand:
        """The same bits as another type of the same size."""
        return self._convert("bitcast", x, kind)

    # --- memory ---------------------------------------------------------------------------------------------------

    def gep(
        self, base: Operand, indices: Sequence[Operand], inbounds: bool = False, *, source_etype: ir.Type
    ) -> Result:
        """Return an address, counted in elements from `base`.

        A constant comes last, as processors add it for nothing. What it is added to goes through an intrinsic that
        becomes no code: LLVM's strength reduction looks for its parts otherwise, in all addresses at once, which takes
        it a second where a panel and a row within it were computed from one counter.
        """
        (index,) = indices
        if isinstance(index, Sum):
            base = self.opaque(self.gep(base, [index.rest], source_etype=source_etype))
            index, inbounds = index.constant, False
        words = "getelementptr inbounds" if inbounds else "getelementptr"
        place = f"{index.type} {index.get_reference()}"
        return self._result(base.type, f"{words} {source_etype}, ptr {base.get_reference()}, {place}")

    def opaque(self, address: Operand) -> Operand:
        """Return an address through an intrinsic that becomes no code."""
        module, name = self._function.module, "llvm.launder.invariant.group.p0"
        identity = module.globals.get(name)
        if identity is None:
            identity = ir.Function(module, ir.FunctionType(address.type, [address.type]), name)
        hidden = self.call(identity, [address])
        assert hidden is not None
        return hidden

    def read_anew(self) -> None:
        """Keep what was loaded before this place from being taken for what is loaded after; becomes no code."""
        self._loaded.clear()
        self._lines.append('fence syncscope("singlethread") acquire')

    def settled(self, values: Sequence[Operand]) -> list[Operand]:
        """Return two values or more, computed here and not where they are used; becomes no code."""
        name, kinds = self._name(), "{" + ", ".join(str(value.type) for value in values) + "}"
        ties = ",".join([*["=r"] * len(values), *map(str, range(len(values))), "~{memory}"])
        given = ", ".join(f"{value.type} {value.get_reference()}" for value in values)
        self._lines.append(f'{name} = call {kinds} asm sideeffect "", "{ties}"({given})')
        return [self._write(value.type, f"extractvalue {kinds} {name}, {n}") for n, value in enumerate(values)]

    def load(self, address: Operand, *, typ: ir.Type, align: int) -> Result:
        """Read a value."""
        text = f"load {typ}, ptr {address.get_reference()}, align {align}"
        found = self._loaded.get(text)
        if found is None:
            found = self._loaded[text] = self._write(typ, text)
        return found

    def store(self, value: Operand, address: Operand, *, align: int) -> None:
        """Write a value."""
        self._loaded.clear()
        self._lines.append(f"store {value.type} {value.get_reference()}, ptr {address.get_reference()}, align {align}")

    def alloca(self, kind: ir.Type, count: int, *, align: int) -> Result:
        """Make room for some values until the function returns; to be asked for at its beginning."""
        return self._write(ir.PointerType(), f"alloca {kind}, i64 {count}, align {align}")

    def load_atomic(self, address: Operand, ordering: str, align: int, *, typ: ir.Type) -> Result:
        """Read a value that another thread may be writing."""
        self._loaded.clear()
        return self._write(typ, f"load atomic {typ}, ptr {address.get_reference()} {ordering}, align {align}")

    def atomic_rmw(self, operation: str, address: Operand, value: Operand, ordering: str) -> Result:
        """Change a value in one piece, and give the one before."""
        change = f"{operation} ptr {address.get_reference()}, {value.type} {value.get_reference()}"
        self._loaded.clear()
        return self._write(value.type, f"atomicrmw {change} {ordering}")

    # --- vectors --------------------------------------------------------------------------------------------------

    def insert_element(self, vector: Operand, value: Operand, lane: Operand) -> Result:
        """Return a vector with one lane exchanged."""
        into, new = f"{vector.type} {vector.get_reference()}", f"{value.type} {value.get_reference()}"
        return self._result(vector.type, f"insertelement {into}, {new}, {lane.type} {lane.get_reference()}")

    def shuffle_vector(self, x: Operand, y: Operand, lanes: Operand) -> Result:
        """Return lanes of two vectors; the first of y has the number behind x's last."""
        kind = ir.VectorType(x.type.element, lanes.type.count)
        vectors = f"{x.type} {x.get_reference()}, {x.type} {y.get_reference()}"
        return self._result(kind, f"shufflevector {vectors}, {lanes.type} {lanes.get_reference()}")

    # --- control --------------------------------------------------------------------------------------------------

    def phi(self, kind: ir.Type) -> Phi:
        """Begin a value that depends on the block before."""
        line = Phi(kind, self._name())
        self._lines.append(line)
        return line

    def branch(self, target: ir.Block) -> None:
        """Go to a block."""
        self._lines.append(f"br label {target.get_reference()}")

    def cbranch(self, condition: Operand, yes: ir.Block, no: ir.Block) -> None:
        """Go to one block or another."""
        places = f"label {yes.get_reference()}, label {no.get_reference()}"
        self._lines.append(f"br i1 {condition.get_reference()}, {places}")

    @contextmanager
    def if_then(self, condition: Operand) -> Iterator[None]:
        """Write what runs only if the condition holds."""
        inside, behind = (self._function.append_basic_block(name) for name in ("then", "behind"))
        self.cbranch(condition, inside, behind)
        with self._block(inside, behind):
            yield
        self.position_at_end(behind)

    @contextmanager
    def if_else(
        self, condition: Operand
    ) -> Iterator[tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
        """Write what runs if the condition holds, and what runs if not: two contexts, to be entered once each."""
        yes, no, behind = (self._function.append_basic_block(name) for name in ("then", "else", "behind"))
        self.cbranch(condition, yes, no)
        yield self._block(yes, behind), self._block(no, behind)
        self.position_at_end(behind)

    @contextmanager
    def _block(self, block: ir.Block, behind: ir.Block) -> Iterator[None]:
        self.position_at_end(block)
        yield
        self.branch(behind)

    def call(self, function: ir.Function, values: Sequence[Operand]) -> Result | None:
        """Call a function. Intrinsics that give something depend on their operands alone."""
        given, reference = function.ftype.return_type, function.get_reference()
        arguments = ", ".join(f"{value.type} {value.get_reference()}" for value in values)
        text = f"call {given} {reference}({arguments})"
        if isinstance(given, ir.VoidType):
            self._loaded.clear()
            self._lines.append(text)
            return None
        if reference.startswith('@"llvm.'):
            return self._result(given, text)
        self._loaded.clear()
        return self._write(given, text)

    def read(self, function: ir.Function, values: Sequence[Operand]) -> Result:
        """Call an intrinsic that reads memory."""
        arguments = ", ".join(f"{value.type} {value.get_reference()}" for value in values)
        text = f"call {function.ftype.return_type} {function.get_reference()}({arguments})"
        found = self._loaded.get(text)
        if found is None:
            found = self._loaded[text] = self._write(function.ftype.return_type, text)
        return found

    def hint(self, function: ir.Function, values: Sequence[Operand]) -> None:
        """Call a function that changes nothing that anybody reads."""
        arguments = ", ".join(f"{value.type} {value.get_reference()}" for value in values)
        self._lines.append(f"call void {function.get_reference()}({arguments})")

    def ret(self, value: Operand) -> None:
        """Return a value."""
        self._lines.append(f"ret {value.type} {value.get_reference()}")

    def ret_void(self) -> None:
        """Return."""
        self._lines.append("ret void")
