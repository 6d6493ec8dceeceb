"""Handing work to waiting threads, as machine code: `run`, `share`, `wake` and `dismiss` for the caller, `enlist` and
`serve` for the others.

    void run(ptr team, ptr job, ptr members, ptr, i64 count, i64)
    void share(ptr team, ptr job, ptr members, ptr, i64 count, i64)
    void wake(ptr, ptr, ptr members, ptr, i64 count, i64)
    void dismiss(ptr team, ptr, ptr members, ptr, i64 count, i64)
    void enlist(ptr, ptr member, ptr, ptr, i64, i64)
    void serve(ptr team, ptr member, ptr, ptr, i64 index, i64)

A thread that has just worked looks out for more for a while before it sleeps: waking one takes many times as long as a
look. `enlist` makes a member, before its thread enters `serve`, which comes back when the team is dismissed.

A job that takes long waits for all threads: `run`. One that takes no longer than waking a thread is done, with the
caller, by those that answer its call within some microseconds: `share`. Whoever sleeps, or has lost its processor to
something else, is done without: nobody works before the call is closed.

Memory is counted in slots of eight bytes, with what different threads write on cache lines of its own:

    team: 0 the call    8 how many have finished it    16 address of the job, 0: go home    17 how many threads do it,
        0 until that is known    18 how many members were not there when a job was shared last
    member: 0 last call seen    1 whether it sleeps    8 mutex    16 condition: woken
    job: 0 address of the function    1 number of threads    2… four addresses for each thread, its first arguments

The call is one number, so that answering it, closing it and the next one cannot be mistaken for each other: the upper
half counts calls, CLOSED says that this one takes no more answers, and the lowest bits count those that it had.

It is written as text, since it is short, and calls a function that is known by its address alone. What it waits with
is that of the system: see waiting.py.
"""

from __future__ import annotations

from neocog.emit.barrier import SPINS
from neocog.emit.waiting import pause_text, waiting_text
from neocog.target.processor import Target

DONE_SLOT, JOB_SLOT, THREADS_SLOT, ABSENT_SLOT = 8, 16, 17, 18
TEAM_SLOTS, MEMBER_SLOTS = 24, 24
ASLEEP = 1
MUTEX, CONDITION = 8, 16  # with room for what the largest systems put there
CLOSED = 1 << 16
PATIENCE = 100  # looks for answers to a call
FUNCTIONS = ("run", "share", "wake", "dismiss", "enlist", "serve")

TEXT = """
target triple = "{triple}"
{declare_pause}
{waiting}

define internal void @enter(ptr %job, i64 %index, i64 %threads) {{
  %function = load ptr, ptr %job
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

define internal void @call(ptr %team, ptr %job, i64 %threads) {{
  %job_at = getelementptr i64, ptr %team, i64 {job}
  store ptr %job, ptr %job_at
  %threads_at = getelementptr i64, ptr %team, i64 {threads}
  store i64 %threads, ptr %threads_at
  %done_at = getelementptr i64, ptr %team, i64 {done}
  store i64 0, ptr %done_at
  %before = load i64, ptr %team
  %number = lshr i64 %before, 32
  %next = add i64 %number, 1
  %open = shl i64 %next, 32
  %last = atomicrmw xchg ptr %team, i64 %open seq_cst
  ret void
}}

define void @wake(ptr %a, ptr %b, ptr %members, ptr %c, i64 %count, i64 %d) {{
  br label %next
next:
  %n = phi i64 [ 0, %0 ], [ %following, %one ], [ %following, %rouse ]
  %more = icmp ult i64 %n, %count
  br i1 %more, label %one, label %ready
one:
  %slot = mul i64 %n, {member}
  %member = getelementptr i64, ptr %members, i64 %slot
  %asleep_at = getelementptr i64, ptr %member, i64 {asleep}
  %was = atomicrmw xchg ptr %asleep_at, i64 0 seq_cst
  %following = add i64 %n, 1
  %asleep = icmp ne i64 %was, 0
  br i1 %asleep, label %rouse, label %next
rouse:
  %mutex = getelementptr i64, ptr %member, i64 {mutex}
  %condition = getelementptr i64, ptr %member, i64 {condition}
  call void @lock(ptr %mutex)
  call void @tell(ptr %condition)
  call void @unlock(ptr %mutex)
  br label %next
ready:
  ret void
}}

define void @dismiss(ptr %team, ptr %a, ptr %members, ptr %b, i64 %count, i64 %c) {{
  call void @call(ptr %team, ptr null, i64 0)
  call void @wake(ptr %a, ptr %a, ptr %members, ptr %a, i64 %count, i64 0)
  ret void
}}

define internal void @work(ptr %team, ptr %job, i64 %threads) {{
  call void @enter(ptr %job, i64 0, i64 %threads)
  %others = sub i64 %threads, 1
  %done_at = getelementptr i64, ptr %team, i64 {done}
  br label %look
look:
  %spins = phi i64 [ 0, %0 ], [ %more, %wait ], [ %more, %doze ]
  %done = load atomic i64, ptr %done_at acquire, align 8
  %all = icmp eq i64 %done, %others
  br i1 %all, label %finished, label %wait
wait:
  {pause}
  %more = add i64 %spins, 1
  %soon = icmp ult i64 %more, {spins}
  br i1 %soon, label %look, label %doze
doze:
  call void @doze()
  br label %look
finished:
  ret void
}}

define void @run(ptr %team, ptr %job, ptr %members, ptr %a, i64 %count, i64 %b) {{
  %threads = add i64 %count, 1
  call void @call(ptr %team, ptr %job, i64 %threads)
  call void @wake(ptr %a, ptr %a, ptr %members, ptr %a, i64 %count, i64 0)
  call void @work(ptr %team, ptr %job, i64 %threads)
  ret void
}}

define void @share(ptr %team, ptr %job, ptr %members, ptr %a, i64 %count, i64 %b) {{
  %absent_at = getelementptr i64, ptr %team, i64 {absent}
  br label %next
next:
  %n = phi i64 [ 0, %0 ], [ %following, %one ]
  %absent = phi i64 [ 0, %0 ], [ %absentees, %one ]
  %more = icmp ult i64 %n, %count
  br i1 %more, label %one, label %known
one:
  %slot = mul i64 %n, {member}
  %member = getelementptr i64, ptr %members, i64 %slot
  %asleep_at = getelementptr i64, ptr %member, i64 {asleep}
  %asleep = load atomic i64, ptr %asleep_at monotonic, align 8
  %absentees = add i64 %absent, %asleep
  %following = add i64 %n, 1
  br label %next
known:
  %awake = sub i64 %count, %absent
  %alone = icmp eq i64 %awake, 0
  br i1 %alone, label %nobody, label %post
nobody:
  store i64 %count, ptr %absent_at
  call void @enter(ptr %job, i64 0, i64 1)
  ret void
post:
  call void @call(ptr %team, ptr %job, i64 0)
  br label %look
look:
  %looks = phi i64 [ 0, %post ], [ %looked, %wait ]
  %now = load atomic i64, ptr %team monotonic, align 8
  %so_far = and i64 %now, {mask}
  %all = icmp uge i64 %so_far, %awake
  br i1 %all, label %close, label %wait
wait:
  {pause}
  %looked = add i64 %looks, 1
  %on = icmp ult i64 %looked, {patience}
  br i1 %on, label %look, label %close
close:
  %closing = atomicrmw or ptr %team, i64 {closed} seq_cst
  %came = and i64 %closing, {mask}
  %missing = sub i64 %count, %came
  store i64 %missing, ptr %absent_at
  %threads = add i64 %came, 1
  %threads_at = getelementptr i64, ptr %team, i64 {threads}
  store atomic i64 %threads, ptr %threads_at release, align 8
  call void @work(ptr %team, ptr %job, i64 %threads)
  ret void
}}

define void @enlist(ptr %a, ptr %member, ptr %b, ptr %c, i64 %d, i64 %e) {{
  %mutex = getelementptr i64, ptr %member, i64 {mutex}
  %condition = getelementptr i64, ptr %member, i64 {condition}
  call void @prepare(ptr %mutex, ptr %condition)
  ret void
}}

define void @serve(ptr %team, ptr %member, ptr %a, ptr %b, i64 %index, i64 %c) {{
  %asleep_at = getelementptr i64, ptr %member, i64 {asleep}
  %mutex = getelementptr i64, ptr %member, i64 {mutex}
  %condition = getelementptr i64, ptr %member, i64 {condition}
  %job_at = getelementptr i64, ptr %team, i64 {job}
  %threads_at = getelementptr i64, ptr %team, i64 {threads}
  %done_at = getelementptr i64, ptr %team, i64 {done}
  br label %again
again:
  br label %look
look:
  %spins = phi i64 [ 0, %again ], [ %more, %wait ]
  %seen = load i64, ptr %member
  %now = load atomic i64, ptr %team seq_cst, align 8
  %number = lshr i64 %now, 32
  %same = icmp eq i64 %number, %seen
  br i1 %same, label %wait, label %called
called:
  %mark = and i64 %now, {closed}
  %open = icmp eq i64 %mark, 0
  br i1 %open, label %answer, label %late
late:
  store i64 %number, ptr %member
  br label %wait
wait:
  {pause}
  %more = add i64 %spins, 1
  %awake = icmp ult i64 %more, {spins}
  br i1 %awake, label %look, label %doze
doze:
  ; Whoever calls changes the call and then looks who sleeps. Here it is the other way round, so that one of the two
  ; sees the other.
  %before = load i64, ptr %member
  %flag = atomicrmw xchg ptr %asleep_at, i64 1 seq_cst
  %then = load atomic i64, ptr %team seq_cst, align 8
  %then_number = lshr i64 %then, 32
  %still = icmp eq i64 %then_number, %before
  br i1 %still, label %sleep, label %stay
stay:
  %up = atomicrmw xchg ptr %asleep_at, i64 0 seq_cst
  br label %again
sleep:
  call void @lock(ptr %mutex)
  br label %lie
lie:
  %flagged = load atomic i64, ptr %asleep_at seq_cst, align 8
  %lying = icmp ne i64 %flagged, 0
  br i1 %lying, label %doze_on, label %rise
doze_on:
  call void @await(ptr %condition, ptr %mutex)
  br label %lie
rise:
  call void @unlock(ptr %mutex)
  br label %again
answer:
  %one_more = add i64 %now, 1
  %answered = cmpxchg ptr %team, i64 %now, i64 %one_more seq_cst seq_cst
  %taken = extractvalue {{ i64, i1 }} %answered, 1
  br i1 %taken, label %joined, label %again
joined:
  store i64 %number, ptr %member
  %job = load ptr, ptr %job_at
  %home = icmp eq ptr %job, null
  br i1 %home, label %quit, label %gather
gather:
  %threads = load atomic i64, ptr %threads_at acquire, align 8
  %decided = icmp ne i64 %threads, 0
  br i1 %decided, label %join, label %hold
hold:
  {pause}
  br label %gather
join:
  ; Where all are there, each does what it did the last time: that may be near it still.
  %all_at = getelementptr i64, ptr %job, i64 1
  %all = load i64, ptr %all_at
  %complete = icmp eq i64 %threads, %all
  %order = and i64 %one_more, {mask}
  %place = select i1 %complete, i64 %index, i64 %order
  call void @enter(ptr %job, i64 %place, i64 %threads)
  %counted = atomicrmw add ptr %done_at, i64 1 seq_cst
  br label %again
quit:
  ret void
}}
"""


def team_text(target: Target) -> str:
    """Return the functions as LLVM IR for a processor."""
    declare_pause, pause = pause_text(target)
    return TEXT.format(
        triple=target.triple,
        declare_pause=declare_pause,
        pause=pause,
        waiting=waiting_text(target),
        job=JOB_SLOT,
        done=DONE_SLOT,
        threads=THREADS_SLOT,
        absent=ABSENT_SLOT,
        closed=CLOSED,
        mask=CLOSED - 1,
        patience=PATIENCE,
        member=MEMBER_SLOTS,
        asleep=ASLEEP,
        mutex=MUTEX,
        condition=CONDITION,
        spins=SPINS,
    )
