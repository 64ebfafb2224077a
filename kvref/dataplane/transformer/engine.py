"""A small engine: a scheduler with random habits on top of a manager, and the paged model below it.

It is a legal caller: `get_computed_blocks` right before the `allocate_slots` that admits, `free` for
who is preempted or done, and never within the step that a request was scheduled in [PROTO-1 to
PROTO-8, PROTO-13]. It keeps the logits that every output token was chosen by.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from random import Random

from torch import Tensor

from kvref.dataplane.transformer.drafter import Drafter
from kvref.dataplane.transformer.jobs import Counts, Generation, Habits, Job
from kvref.dataplane.transformer.manager import Manager
from kvref.dataplane.transformer.paged import PagedModel
from kvref.dataplane.transformer.tables import Share
from kvref.errors import UserError
from kvref.events import BlockRemoved
from kvref.hashing import BlockHasher
from kvref.operations import Configuration, MambaGroup
from kvref.request import Request
from spec.units import RequestId, Tokens


class Engine:
    """Decodes jobs greedily, with drafts from `drafter`. All chances come from `random`.

    Recurrent groups are in cache mode `align`. Raises UserError for more drafts than they can verify.
    """

    def __init__(
        self,
        manager: Manager,
        configuration: Configuration,
        worker: PagedModel,
        drafter: Drafter,
        habits: Habits,
        random: Random,
    ) -> None:
        self.counts = Counts()
        self.running: list[Generation] = []
        self.waiting: deque[Generation] = deque()
        self._manager = manager
        self._worker = worker
        self._drafter = drafter
        self._habits = habits
        self._random = random
        self._most_tokens = configuration.max_model_len
        self._step_tokens = configuration.max_num_batched_tokens or configuration.max_model_len
        states = [group for group in configuration.groups if isinstance(group, MambaGroup)]
        _check(states, habits.drafts)
        self._state_size = max((group.block_size for group in states), default=1)
        hashing = configuration.hash_function, Tokens(configuration.hash_block_size), configuration.hash_seed
        self._hasher = BlockHasher.seeded(*hashing) if configuration.enable_caching else None
        self._names = 0
        self._shares: list[tuple[Generation, Share]] = []
        self._budget = 0

    def run(self, jobs: Iterable[Job]) -> list[Generation]:
        """Decode all jobs, which arrive by and by; their generations in the same order."""
        coming = deque(jobs)
        generations = []
        while coming or self.waiting or self.running:
            while coming and self._chance(self._habits.arrival):
                generations.append(self.submit(coming.popleft()))
            self.step()
        return generations

    def submit(self, job: Job) -> Generation:
        """A job arrives. Raises UserError if it is longer than the model's length."""
        if len(job.prompt) + job.outputs >= self._most_tokens:
            raise UserError(
                f"{len(job.prompt)} + {job.outputs} tokens: the model takes {self._most_tokens - 1}"
            )
        name = RequestId(f"r{self._names}")
        self._names += 1
        generation = Generation(job, Request(name, job.prompt, block_hasher=self._hasher))
        self.waiting.append(generation)
        return generation

    def step(self) -> None:
        """Schedule, compute, verify."""
        self._manager.new_step_starts()
        self._shares, self._budget = [], self._step_tokens
        for generation in list(self.running):
            if generation in self.running and not self._chance(self._habits.pause):
                self._continue(generation)
        while self.waiting and len(self.running) < self._habits.max_running and self._admit(self.waiting[0]):
            self.running.append(self.waiting.popleft())
        results = self._worker.execute([share for _, share in self._shares]) if self._shares else []
        for (generation, share), logits in zip(self._shares, results, strict=True):
            self._take_results(generation, share, logits)
        for generation in list(self.running):
            if generation.is_done:
                self._release(generation)
            elif self._chance(self._habits.preempt):
                self._preempt(generation)
        removed = [e for e in self._manager.take_events() if isinstance(e, BlockRemoved)]
        self.counts.evictions += sum(len(event.block_hashes) for event in removed)
        self.counts.steps += 1

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _admit(self, generation: Generation) -> bool:
        """Look up and allocate at once [PROTO-2]. False if nothing more is to be admitted in this step."""
        request = generation.request
        if self._budget <= 0:
            return False
        hits, hit = self._manager.get_computed_blocks(request)
        new = self._chunk(request, hit)
        if new == 0:
            return False
        if self._manager.allocate_slots(request, new, hit, hits, self._habits.lookahead) is None:
            if not self.running:
                raise _too_small(request)
            return False
        request.num_computed_tokens = hit
        self.counts.queried_tokens += request.num_tokens
        self.counts.hit_tokens += hit
        self.counts.hit_blocks += sum(not block.is_null for blocks in hits.blocks for block in blocks)
        tables = self._manager.get_block_ids(request.request_id)
        tokens = request.all_token_ids[hit : hit + new]
        self._schedule(generation, tokens, tables, starts=True)
        return True

    def _continue(self, generation: Generation) -> None:
        """The next chunk of a prompt, or the next token and drafts behind it [PROTO-4]."""
        request = generation.request
        computed, known = request.num_computed_tokens, request.num_tokens
        if self._budget <= 0:
            return
        tokens = request.all_token_ids[computed : computed + self._chunk(request, computed)]
        if computed == known - 1 >= len(generation.job.prompt):
            most = min(self._habits.drafts, self._budget - 1, self._most_tokens - 1 - known)
            tokens += self._drafter(request.all_token_ids, self._random.randint(most // 2, most))
        if not tokens:
            return
        while (blocks := self._allocate(request, len(tokens))) is None:
            scheduled = [one for one, _ in self._shares]
            victim = next(one for one in reversed(self.running) if one not in scheduled)
            if len(self.running) == 1:
                raise _too_small(request)
            self._preempt(victim)
            if victim is generation:
                return
        self._schedule(generation, tokens, blocks, starts=False)

    def _allocate(self, request: Request, new: int) -> tuple[Sequence[int], ...] | None:
        lookahead = self._habits.lookahead
        blocks = self._manager.allocate_slots(request, new, num_lookahead_tokens=lookahead)
        return None if blocks is None else blocks.get_block_ids()

    def _chunk(self, request: Request, computed: int) -> int:
        """How many tokens to compute next; within a prompt to a state's boundary [PROTO-8]. 0: not now."""
        known, size = request.num_tokens, self._state_size
        new = min(known - computed, self._budget)
        if self._chance(self._habits.short_chunk):
            new = self._random.randint(1, new)
        last = known - known % size
        if computed >= max(request.num_prompt_tokens, known - 1) or computed >= last:
            return new
        return last - computed if computed + new >= last else new // size * size

    def _schedule(
        self,
        generation: Generation,
        tokens: Sequence[int],
        blocks: tuple[Sequence[int], ...],
        *,
        starts: bool,
    ) -> None:
        request = generation.request
        rows = max(0, request.num_computed_tokens + len(tokens) - request.num_tokens + 1)
        share = Share(request.request_id, tokens, request.num_computed_tokens, rows, blocks, starts)
        self._shares.append((generation, share))
        self._budget -= len(tokens)

    def _take_results(self, generation: Generation, share: Share, logits: Tensor) -> None:
        """Keep the drafts that the model would have chosen, and the token behind them [PROTO-5]."""
        chosen: list[int] = logits.argmax(dim=-1).tolist()
        drafts = share.tokens[len(share.tokens) - share.drafts :]
        wrong = [
            index for index, (draft, token) in enumerate(zip(drafts, chosen, strict=False)) if draft != token
        ]
        accepted = wrong[0] if wrong else share.drafts
        computed = share.positions.stop - share.drafts + accepted
        generation.request.num_computed_tokens = Tokens(computed)
        self._worker.settle(share.request, computed)
        kept = min(accepted + 1, share.rows, generation.job.outputs - len(generation.rows))
        generation.rows += logits[:kept]
        generation.request.append_output_token_ids(chosen[:kept])
        self.counts.computed_tokens += len(share.tokens)
        self.counts.output_tokens += kept
        self.counts.accepted_drafts += accepted
        self.counts.rejected_drafts += share.drafts - accepted

    def _release(self, generation: Generation) -> None:
        self.running.remove(generation)
        self._manager.free(generation.request)
        self._worker.forget(generation.request.request_id)

    def _preempt(self, generation: Generation) -> None:
        """Take all blocks away; the request comes again first, with its outputs [PROTO-6]."""
        self._release(generation)
        generation.request.num_computed_tokens = Tokens(0)
        generation.request.num_preemptions += 1
        self.waiting.appendleft(generation)
        self.counts.preemptions += 1


def _too_small(request: Request) -> UserError:
    """What is raised if a request that is alone gets no slots: preempting others cannot help."""
    return UserError(f"request {request.request_id} does not fit an empty pool: give it more blocks")


def _check(states: Sequence[MambaGroup], drafts: int) -> None:
    """Whether every draft has a state of its own, and the running state's entry is held still.

    A step that verifies fewer drafts than the one before may end in an earlier block. The table has
    a null there if the speculative blocks moved past it, which they do from a block's length on.
    """
    for group in states:
        if group.mode != "align":
            raise UserError(f"cache mode {group.mode}: the engine keeps states in mode align")
        if drafts > group.speculative_blocks or drafts >= group.block_size:
            raise UserError(
                f"{drafts} drafts: a recurrent group of block size {group.block_size} with "
                f"{group.speculative_blocks} speculative blocks verifies fewer"
            )
