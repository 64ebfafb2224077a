"""The workloads: each brings one side of the scheduler to its manager."""

from typing import Any

import msgspec

from kvref.errors import UserError
from kvref.operations import ChunkedGroup, FullGroup, MambaGroup, SlidingGroup
from kvref.scheduler.workload import BLOCK, Finding, Workload

_FULL = FullGroup(BLOCK)
_WINDOW = SlidingGroup(BLOCK, window=10)
_CHUNK = ChunkedGroup(BLOCK, chunk=16)
_STATES = MambaGroup(BLOCK, mode="align")
_SCARCE = Workload(
    name="", shows="", blocks=34, seats=8, requests=18, arrives=0.9, outputs=(4, 20)
)  # fmt: skip


def _scarce(**settings: Any) -> Workload:
    """A server that is short of blocks."""
    return msgspec.structs.replace(_SCARCE, **settings)


_VICTIM_OF_THIS_STEP = Finding("Q-18", frozenset({"PROTO-13"}))
_LOST_IN_FLIGHT = Finding("Q-70", frozenset({"PROTO-4", "PROTO-6"}))
_STOPPED_IN_DRAFTS = Finding("Q-71", frozenset({"REQ-7"}), raises="AssertionError")
_STOPPED_IN_FLIGHT = Finding("Q-72", frozenset({"REQ-7"}), raises="Invalid request status: RUNNING")
_RESET_IN_FLIGHT = Finding("Q-73", frozenset({"PROTO-4", "PROTO-5"}), raises="AssertionError")
_LOST_OF_GROUPS = Finding("Q-74", raises="too many values to unpack")

WORKLOADS: tuple[Workload, ...] = (
    Workload(name="plain", shows="prompts that share prefixes, first come first served"),
    Workload(name="async-plain", shows="the same with a step ahead", asynchronous=True),
    Workload(name="no-caching", shows="a server without prefix caching", caching=False, blocks=40),
    Workload(name="chunks", shows="long prompts in chunks", longest_chunk=12, prompt=(20, 90), budget=24),
    Workload(
        name="async-chunks", shows="the same with a step ahead", asynchronous=True, longest_chunk=12,
        prompt=(20, 90), budget=24,
    ),
    _scarce(name="pressure", shows="preemption of who came last"),
    _scarce(name="async-pressure", shows="the same with a step in flight", asynchronous=True),
    _scarce(
        name="priorities", shows="preemption of who counts least", policy="priority",
        finding=_VICTIM_OF_THIS_STEP,
    ),
    _scarce(
        name="async-priorities", shows="the same with a step in flight", policy="priority", asynchronous=True,
        longest_chunk=16, finding=_VICTIM_OF_THIS_STEP,
    ),
    Workload(name="drafts", shows="EAGLE drafts, some rejected", drafts=3, accepts=0.6, outputs=(4, 20)),
    _scarce(
        name="drafts-pressure", shows="drafts looked up in the prompt, preemption", drafts=3, drafter="ngram",
    ),
    Workload(
        name="async-drafts", shows="EAGLE drafts with a step in flight", drafts=2, asynchronous=True,
        outputs=(4, 20),
    ),
    _scarce(
        name="async-drafts-pressure", shows="the same, and preemption", drafts=2, asynchronous=True
    ),
    Workload(name="stops", shows="stop tokens, and grammars that refuse", stops=0.15, structured=0.5),
    Workload(
        name="async-stops", shows="the same with a step in flight, and drafts", stops=0.15, structured=0.5,
        asynchronous=True, drafts=2,
    ),
    Workload(name="aborts", shows="users who hang up", aborts=0.3, longest_chunk=12),
    Workload(
        name="async-aborts", shows="users who hang up with a step in flight", aborts=0.3, longest_chunk=12,
        asynchronous=True,
    ),
    Workload(name="sessions", shows="streaming sessions", sessions=0.7, outputs=(1, 6), steps=70),
    Workload(
        name="async-sessions", shows="streaming sessions with a step in flight", sessions=0.7, outputs=(1, 6),
        stops=0.1, asynchronous=True, steps=70, finding=_STOPPED_IN_FLIGHT,
    ),
    Workload(
        name="sessions-drafts", shows="streaming sessions with drafts", sessions=0.7, outputs=(1, 6),
        stops=0.1, drafts=2, steps=70, finding=_STOPPED_IN_DRAFTS,
    ),
    Workload(name="loads", shows="external tokens within the step", loads="within the step"),
    Workload(
        name="loads-fail", shows="some of them lost, and computed again", loads="within the step",
        loads_fail=0.4, longest_chunk=16,
    ),
    Workload(
        name="loads-fail-requests", shows="some of them lost, and their requests with them",
        loads="within the step", loads_fail=0.4, on_failure="fail",
    ),
    Workload(
        name="async-loads-fail", shows="some of them lost with a step in flight", loads="within the step",
        loads_fail=0.4, asynchronous=True, finding=_LOST_IN_FLIGHT,
    ),
    Workload(name="waits", shows="external tokens that come later", loads="in the background", sends=0.3),
    Workload(
        name="waits-fail", shows="some of them lost, users who hang up meanwhile", loads="in the background",
        loads_fail=0.4, aborts=0.15,
    ),
    _scarce(
        name="async-loads", shows="both kinds of loads with a step in flight, scarce blocks", loads="either",
        sends=0.3, asynchronous=True, aborts=0.1,
    ),
    Workload(
        name="async-waits-fail", shows="late loads that fail with a step in flight", loads="in the background",
        loads_fail=0.4, asynchronous=True,
    ),
    Workload(
        name="window-waits-fail", shows="late loads that fail, of two groups", groups=(_FULL, _WINDOW),
        loads="in the background", loads_fail=0.4, finding=_LOST_OF_GROUPS,
    ),
    Workload(name="window", shows="full attention and a sliding window", groups=(_FULL, _WINDOW), aborts=0.05),
    _scarce(
        name="async-window", shows="the same with drafts, scarce blocks, and a step in flight",
        groups=(FullGroup(BLOCK, eagle=True), _WINDOW), drafts=2, asynchronous=True,
    ),
    Workload(
        name="window-loads", shows="a window, and external tokens of both kinds", groups=(_FULL, _WINDOW),
        loads="either", sends=0.3,
    ),
    Workload(name="states", shows="full attention and recurrent states", groups=(_FULL, _STATES), blocks=140),
    _scarce(
        name="states-pressure", shows="the same with scarce blocks, sessions and users who hang up",
        groups=(_FULL, _STATES), sessions=0.3, aborts=0.1,
        blocks=50,
    ),
    Workload(
        name="chunked", shows="full attention and chunked local attention", groups=(_FULL, _CHUNK),
        longest_chunk=12, aborts=0.05,
    ),
    Workload(name="resets", shows="resets that succeed or not", resets=0.3, arrives=0.3),
    Workload(name="resets-running", shows="resets that preempt", resets_running=0.15, outputs=(4, 20)),
    Workload(
        name="async-resets-running", shows="resets that preempt with a step in flight", resets_running=0.15,
        outputs=(4, 20), asynchronous=True,
    ),
    Workload(
        name="async-resets-drafts", shows="the same with drafts", resets_running=0.15, drafts=2,
        outputs=(4, 20), asynchronous=True, finding=_RESET_IN_FLIGHT,
    ),
    _scarce(
        name="async-states", shows="recurrent states with scarce blocks and a step in flight",
        groups=(_FULL, _STATES), asynchronous=True, blocks=60,
    ),
    Workload(
        name="states-loads", shows="recurrent states and external tokens of both kinds",
        groups=(_FULL, _STATES), loads="either", blocks=100,
    ),
    Workload(
        name="window-drafts", shows="a window and drafts that both groups share", drafts=2, shares=0.95,
        groups=(FullGroup(BLOCK, eagle=True), SlidingGroup(BLOCK, window=10, eagle=True)),
    ),
)  # fmt: skip


def named(name: str) -> Workload:
    """The workload of this name. Raises UserError if there is none."""
    for workload in WORKLOADS:
        if workload.name == name:
            return workload
    known = ", ".join(workload.name for workload in WORKLOADS)
    raise UserError(f"no workload is called {name!r}: choose one of {known}")
