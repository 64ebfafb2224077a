"""A scheduler in miniature: drives a manager through waves of requests, and times every call.

It calls as vLLM's scheduler calls: chunked prefill under a token budget, running requests before
waiting ones, lookups right before admission. What a step asks follows from the workload and the
manager's answers alone, so that managers that decide alike are asked the same.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns as clock
from typing import Any

from kvref.bench.implementations import Implementation
from kvref.bench.meter import Meter
from kvref.bench.results import Phase
from kvref.bench.workloads import STEP_TOKENS, Job, Workload
from kvref.operations import MambaGroup

MOST_RUNNING = 256
TOKEN = 7
REFUSED = -1


class StuckError(Exception):
    """Nothing runs, and what waits does not fit: the workload's pool is too small."""


@dataclass(slots=True, eq=False)
class Running:
    """A request that was taken up: `left` output tokens are still to come."""

    job: Job
    request: Any
    hashes: list[bytes]
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.job.output

    def sampled(self, block_size: int) -> None:
        """One more output token, and the hash of the block that it fills."""
        self.left -= 1
        self.request.append_output_token_ids(TOKEN)
        known = self.request.block_hashes
        if self.request.num_tokens // block_size > len(known):
            known.append(self.hashes[len(known)])


class Driver:
    """Drives one manager through one workload; `thorough` also compares the tables before they go."""

    def __init__(
        self,
        implementation: Implementation,
        manager: Any,
        workload: Workload,
        meter: Meter,
        *,
        thorough: bool,
    ) -> None:
        self._implementation = implementation
        self._manager = manager
        self._workload = workload
        self._meter = meter
        self._thorough = thorough
        self._block_size = workload.configuration.scheduler_block_size
        self._aligned = any(
            isinstance(group, MambaGroup) and group.mode == "align" for group in workload.configuration.groups
        )
        self._phase: Phase = "prefill"
        self._coming: deque[Job] = deque()
        self._waiting: deque[Job | Running] = deque()
        self._prefilling: list[Running] = []
        self._decoding: list[Running] = []
        self._stalled = False
        self._names = 0

    def run(self) -> None:
        """All waves, on an empty cache. The manager holds nothing in the end."""
        self._manager.reset_prefix_cache()
        for wave in self._workload.waves:
            self._phase = wave.phase
            self._coming.extend(wave.jobs)
            step = 0
            while self._coming or self._waiting or self._prefilling or self._decoding:
                if not (self._waiting or self._prefilling or self._decoding):
                    step = max(step, self._coming[0].arrival)  # nothing happens before
                self._arrive(step)
                self._step()
                step += 1
            self._meter.counts["steps"] += step

    def _arrive(self, step: int) -> None:
        while self._coming and self._coming[0].arrival <= step:
            self._waiting.append(self._coming.popleft())

    def _next(self) -> Running:
        """The first that waits. Its request is made right now, as if it had just come and been hashed."""
        first = self._waiting[0]
        if isinstance(first, Running):
            return first
        self._names += 1
        hashes = first.digests()
        known = hashes[: first.prompt // self._block_size]
        request = self._implementation.request(f"request-{self._names}", [TOKEN] * first.prompt, known)
        request.num_computed_tokens = 0
        self._waiting[0] = running = Running(first, request, hashes)
        return running

    def _step(self) -> None:
        self._manager.new_step_starts()
        budget = STEP_TOKENS
        if not (self._workload.prefill_first and (self._prefilling or self._can_admit())):
            budget -= self._decode()
        for state in list(self._prefilling):
            tokens = self._chunk(state, 0, budget)
            if tokens:
                self._prefilling.remove(state)
                if not self._allocate(state, tokens):
                    self._preempt(state)
                budget -= tokens
        while budget >= self._block_size and self._can_admit():
            tokens = self._admit(self._next(), budget)
            self._stalled = not tokens
            budget -= tokens
        if self._stalled and not (self._prefilling or self._decoding):
            raise StuckError(f"{self._workload.name}: a request does not fit an empty pool")
        self._manager.take_new_block_ids()

    def _can_admit(self) -> bool:
        room = len(self._prefilling) + len(self._decoding) < MOST_RUNNING
        return bool(self._waiting) and room and not self._stalled

    def _chunk(self, state: Running, hit: int, budget: int) -> int:
        """The tokens to prefill next: whole blocks, but for the last.

        With aligned states, a step ends with the last full block as well, so that its state is kept.
        """
        rest: int = state.request.num_tokens - state.request.num_computed_tokens - hit
        if rest <= budget and not (self._aligned and rest > self._block_size):
            return rest
        return min(rest, budget) // self._block_size * self._block_size

    def _admit(self, state: Running, budget: int) -> int:
        """Look the request up and give it its first chunk; how many tokens, 0 if they do not fit."""
        request, lookup = state.request, self._manager.get_computed_blocks
        start = clock()
        found, hit = lookup(request)
        spent = clock() - start
        ids = named(found.get_block_ids())
        phase: Phase = "lookup" if hit else "miss"
        self._meter.add(phase, spent, blocks=blocks_in(ids))
        self._meter.answered(phase, [hit, *ids])
        self._meter.counts["looked_up_tokens"] += request.num_tokens
        self._meter.counts["hit_tokens"] += hit
        tokens = self._chunk(state, hit, budget)
        if not self._allocate(state, tokens, hit, found, blocks_in(ids)):
            return 0
        self._waiting.popleft()
        return tokens

    def _allocate(
        self, state: Running, tokens: int, hit: int = 0, found: Any = None, hit_blocks: int = 0
    ) -> bool:
        """Slots for the hit and the tokens behind it; whether they fit."""
        request, allocate, lookahead = state.request, self._manager.allocate_slots, self._workload.lookahead
        start = clock()
        answer = allocate(
            request,
            tokens,
            num_new_computed_tokens=hit,
            new_computed_blocks=found,
            num_lookahead_tokens=lookahead,
        )
        spent = clock() - start
        phase: Phase = "adopt" if hit else self._phase
        ids, blocks = [REFUSED], 0
        if answer is not None:
            start = clock()
            groups = answer.get_block_ids()
            read = clock() - start
            ids = named(groups)
            blocks = blocks_in(ids)
            self._meter.add("ids", read, blocks=blocks)
        self._meter.add(phase, spent, blocks=hit_blocks + blocks)
        self._meter.answered(phase, ids)
        if answer is None:
            return False
        request.num_computed_tokens += hit + tokens
        if request.num_computed_tokens < request.num_tokens:
            self._prefilling.append(state)
        else:
            self._follow([state])
        return True

    def _decode(self) -> int:
        """One token for every decoding request; how many got a slot.

        Every other step is timed call by call, the others as a whole, which costs no clock a call.
        """
        batch, allocate, lookahead = self._decoding, self._manager.allocate_slots, self._workload.lookahead
        if not batch:
            return 0
        requests = [state.request for state in batch]
        self._meter.counts["decode_steps"] += 1
        if self._meter.counts["decode_steps"] % 2:
            start = clock()
            answers = [allocate(request, 1, num_lookahead_tokens=lookahead) for request in requests]
            self._meter.add("decode", clock() - start, calls=len(batch))
        else:
            answers = []
            for request in requests:
                start = clock()
                answer = allocate(request, 1, num_lookahead_tokens=lookahead)
                self._meter.latencies.append(clock() - start)
                answers.append(answer)
        self._decoding = []
        numbers: list[int] = []
        granted = []
        for state, answer in zip(batch, answers, strict=True):
            if answer is None:
                numbers.append(REFUSED)
                self._preempt(state)
            else:
                numbers.extend(named(answer.get_block_ids()))
                state.request.num_computed_tokens += 1
                granted.append(state)
        self._meter.answered("decode", numbers)
        self._follow(granted)
        return len(granted)

    def _follow(self, computed: Sequence[Running]) -> None:
        """A step has computed all of these requests' tokens: each samples one more, or is done."""
        for state in computed:
            state.sampled(self._block_size)
        self._free([state.request for state in computed if not state.left])
        self._decoding.extend(state for state in computed if state.left)

    def _free(self, requests: list[Any]) -> None:
        if not requests:
            return
        self._stalled = False
        blocks = 0
        if self._thorough:
            for request in requests:
                ids = named(self._manager.get_block_ids(request.request_id))
                self._meter.answered("free", ids)
                blocks += blocks_in(ids)
        free = self._manager.free
        start = clock()
        for request in requests:
            free(request)
        self._meter.add("free", clock() - start, calls=len(requests), blocks=blocks)

    def _preempt(self, state: Running) -> None:
        """Take back what the request holds; it is the first to be admitted again."""
        self._free([state.request])
        state.request.num_computed_tokens = 0
        state.request.num_preemptions += 1
        self._meter.counts["preemptions"] += 1
        self._waiting.appendleft(state)


def named(groups: Sequence[Sequence[int]]) -> list[int]:
    """The ids of all groups, each behind its length."""
    return [number for ids in groups for number in (REFUSED - 1 - len(ids), *ids)]


def blocks_in(numbers: Sequence[int]) -> int:
    """How many of these are blocks, and neither lengths nor null."""
    return sum(number > 0 for number in numbers)
