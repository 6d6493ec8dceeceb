"""Handing work to waiting threads, as machine code: `begin` and `finish` for the caller, `serve` for the others.

    void begin(ptr team, ptr job, ptr members, ptr, i64 count, i64)
    void finish(ptr team, ptr job, ptr, ptr, i64 count, i64)
    void serve(ptr team, ptr member, ptr, ptr, i64 index, i64)

A thread that has just worked looks out for more for a while before it sleeps: waking one takes many times as long as a
look. `serve` comes back when nothing came, and its caller then sleeps until `begin` says that it must be woken.

Memory is counted in slots of eight bytes, with what different threads write on cache lines of its own:

    team: 0 generation, one more for every job    8 how many have finished it    16 address of the job, 0: go home
    member: 0 last generation seen    1 whether it sleeps    2 whether it went home    3 whether it must be woken
    job: 0 address of the function    1 number of threads    2… four addresses for each thread, its first arguments

It is written as text, since it is short, and calls a function that is known by its address alone.
"""

from __future__ import annotations

from neocog.emit.barrier import SLEEP_US, SPINS
from neocog.target.processor import Target

DONE_SLOT, JOB_SLOT = 8, 16
TEAM_SLOTS, MEMBER_SLOTS = 24, 8
SEEN, ASLEEP, HOME, WAKE = range(4)
FUNCTIONS = ("begin", "finish", "serve")

PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

TEXT = """
target triple = "{triple}"
declare i32 @usleep(i32)
{declare_pause}

define internal void @enter(ptr %job, i64 %index) {{
  %function = load ptr, ptr %job
  %threads_at = getelementptr i64, ptr %job, i64 1
  %threads = load i64, ptr %threads_at
  %first = mul i64 %index, 4
  %place = add i64 %first, 2
  %arguments = getelementptr i64, ptr %job, i64 %place
  %state = load ptr, ptr %arguments
  %arena_at = getelementptr i64, ptr %arguments, i64 1
  %arena = load ptr, ptr %arena_at
  %scratch_at = getelementptr i64, ptr %arguments, i64 2
  %scratch = load ptr, ptr %scratch_at
  %control_at = getelementptr i64, ptr %arguments, i64 3
  %control = load ptr, ptr %control_at
  call void %function(ptr %state, ptr %arena, ptr %scratch, ptr %control, i64 %index, i64 %threads)
  ret void
}}

define void @begin(ptr %team, ptr %job, ptr %members, ptr %a, i64 %count, i64 %b) {{
  %job_at = getelementptr i64, ptr %team, i64 {job}
  store ptr %job, ptr %job_at
  %done_at = getelementptr i64, ptr %team, i64 {done}
  store i64 0, ptr %done_at
  %before = atomicrmw add ptr %team, i64 1 seq_cst
  br label %next
next:
  %n = phi i64 [ 0, %0 ], [ %following, %one ]
  %more = icmp ult i64 %n, %count
  br i1 %more, label %one, label %ready
one:
  %slot = mul i64 %n, {member}
  %member = getelementptr i64, ptr %members, i64 %slot
  %asleep_at = getelementptr i64, ptr %member, i64 1
  %asleep = atomicrmw xchg ptr %asleep_at, i64 0 seq_cst
  %wake_at = getelementptr i64, ptr %member, i64 3
  store i64 %asleep, ptr %wake_at
  %following = add i64 %n, 1
  br label %next
ready:
  ret void
}}

define void @finish(ptr %team, ptr %job, ptr %a, ptr %b, i64 %count, i64 %c) {{
  call void @enter(ptr %job, i64 0)
  %done_at = getelementptr i64, ptr %team, i64 {done}
  br label %look
look:
  %spins = phi i64 [ 0, %0 ], [ %more, %wait ], [ %more, %doze ]
  %done = load atomic i64, ptr %done_at acquire, align 8
  %all = icmp eq i64 %done, %count
  br i1 %all, label %finished, label %wait
wait:
  {pause}
  %more = add i64 %spins, 1
  %soon = icmp ult i64 %more, {spins}
  br i1 %soon, label %look, label %doze
doze:
  %slept = call i32 @usleep(i32 {sleep})
  br label %look
finished:
  ret void
}}

define void @serve(ptr %team, ptr %member, ptr %a, ptr %b, i64 %index, i64 %c) {{
  %asleep_at = getelementptr i64, ptr %member, i64 1
  %job_at = getelementptr i64, ptr %team, i64 {job}
  %done_at = getelementptr i64, ptr %team, i64 {done}
  br label %again
again:
  %seen = load i64, ptr %member
  br label %look
look:
  %spins = phi i64 [ 0, %again ], [ %more, %wait ]
  %now = load atomic i64, ptr %team seq_cst, align 8
  %same = icmp eq i64 %now, %seen
  br i1 %same, label %wait, label %work
wait:
  {pause}
  %more = add i64 %spins, 1
  %awake = icmp ult i64 %more, {spins}
  br i1 %awake, label %look, label %doze
doze:
  ; Whoever begins a job changes the generation and then looks who sleeps. Here it is the other way round, so that one
  ; of the two sees the other.
  %flag = atomicrmw xchg ptr %asleep_at, i64 1 seq_cst
  %then = load atomic i64, ptr %team seq_cst, align 8
  %still = icmp eq i64 %then, %seen
  br i1 %still, label %leave, label %cancel
cancel:
  %was = atomicrmw xchg ptr %asleep_at, i64 0 seq_cst
  %unnoticed = icmp eq i64 %was, 1
  br i1 %unnoticed, label %again, label %leave
work:
  store i64 %now, ptr %member
  %job = load ptr, ptr %job_at
  %home = icmp eq ptr %job, null
  br i1 %home, label %quit, label %join
join:
  call void @enter(ptr %job, i64 %index)
  %counted = atomicrmw add ptr %done_at, i64 1 seq_cst
  br label %again
quit:
  %home_at = getelementptr i64, ptr %member, i64 2
  store i64 1, ptr %home_at
  br label %leave
leave:
  ret void
}}
"""


def team_text(target: Target) -> str:
    """Return the functions as LLVM IR for a processor."""
    declare_pause, pause = PAUSES.get(target.triple.split("-")[0], ("", ""))
    return TEXT.format(
        triple=target.triple,
        declare_pause=declare_pause,
        pause=pause,
        job=JOB_SLOT,
        done=DONE_SLOT,
        member=MEMBER_SLOTS,
        spins=SPINS,
        sleep=SLEEP_US,
    )
