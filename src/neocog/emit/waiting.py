"""What compiled code calls to wait: the functions of the system that it is compiled for, which its triple names.

They are found by name in the process that loads the code: on Linux and macOS in the C library (POSIX: usleep and
pthread), on Windows in kernel32 (Microsoft's documentation of synchapi.h: slim locks and condition variables).
"""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import I32, Builder
from neocog.target.processor import Target, architecture_of

SLEEP_US = 20
SLEEP_MS = 1  # the least that Windows takes, besides none

_PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

_POSIX = """
declare i32 @usleep(i32)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)

define internal void @prepare(ptr %mutex, ptr %condition) {{
  %first = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %second = call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}}
define internal void @lock(ptr %mutex) {{
  %done = call i32 @pthread_mutex_lock(ptr %mutex)
  ret void
}}
define internal void @unlock(ptr %mutex) {{
  %done = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}}
define internal void @await(ptr %condition, ptr %mutex) {{
  %done = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  ret void
}}
define internal void @tell(ptr %condition) {{
  %done = call i32 @pthread_cond_signal(ptr %condition)
  ret void
}}
define internal void @doze() {{
  %done = call i32 @usleep(i32 {microseconds})
  ret void
}}
"""

_WINDOWS = """
declare void @Sleep(i32)
declare void @InitializeSRWLock(ptr)
declare void @AcquireSRWLockExclusive(ptr)
declare void @ReleaseSRWLockExclusive(ptr)
declare void @InitializeConditionVariable(ptr)
declare i32 @SleepConditionVariableSRW(ptr, ptr, i32, i32)
declare void @WakeConditionVariable(ptr)

define internal void @prepare(ptr %mutex, ptr %condition) {{
  call void @InitializeSRWLock(ptr %mutex)
  call void @InitializeConditionVariable(ptr %condition)
  ret void
}}
define internal void @lock(ptr %mutex) {{
  call void @AcquireSRWLockExclusive(ptr %mutex)
  ret void
}}
define internal void @unlock(ptr %mutex) {{
  call void @ReleaseSRWLockExclusive(ptr %mutex)
  ret void
}}
define internal void @await(ptr %condition, ptr %mutex) {{
  %done = call i32 @SleepConditionVariableSRW(ptr %condition, ptr %mutex, i32 -1, i32 0) ; for as long as it takes
  ret void
}}
define internal void @tell(ptr %condition) {{
  call void @WakeConditionVariable(ptr %condition)
  ret void
}}
define internal void @doze() {{
  call void @Sleep(i32 {milliseconds})
  ret void
}}
"""


def waiting_text(target: Target) -> str:
    """Return functions as LLVM IR: prepare, lock, unlock, await, tell and doze, by what the system has."""
    text = _WINDOWS if target.windows else _POSIX
    return text.format(microseconds=SLEEP_US, milliseconds=SLEEP_MS)


def pause_text(target: Target) -> tuple[str, str]:
    """Return LLVM IR that declares, and that runs, the instruction by which a processor waits a moment."""
    return _PAUSES.get(architecture_of(target.triple), ("", ""))


def emit_pause(module: ir.Module, b: Builder) -> None:
    """Write the instruction by which a processor waits a moment."""
    architecture = architecture_of(b.target.triple)
    if architecture == "x86_64":
        b.ir.call(ir.Function(module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"), [])
    elif architecture == "aarch64":
        hint = ir.Function(module, ir.FunctionType(ir.VoidType(), [I32]), "llvm.aarch64.hint")
        b.ir.call(hint, [ir.Constant(I32, 1)])  # YIELD


def emit_sleep(module: ir.Module, b: Builder) -> None:
    """Write a call that gives the processor to others for a while."""
    if b.target.windows:
        sleep = ir.Function(module, ir.FunctionType(ir.VoidType(), [I32]), "Sleep")
        b.ir.call(sleep, [ir.Constant(I32, SLEEP_MS)])
        return
    sleep = ir.Function(module, ir.FunctionType(I32, [I32]), "usleep")
    b.ir.call(sleep, [ir.Constant(I32, SLEEP_US)])
