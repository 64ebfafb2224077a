"""A server without a model: users who come and go, vLLM's scheduler, and a worker that only says it computed.

The order of things is that of vLLM's engine core: a plain scheduler plans a step when the one before has
run, an asynchronous one plans the next while one is running; aborts come before a step's results are told.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from vllm.sampling_params import SamplingParams, StructuredOutputsParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.outputs import DraftTokenIds, KVConnectorOutput, ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus

from kvref.scheduler.workload import BLOCK, Workload
from kvref.targets.vllm.scheduler.connector import Load, Remote, Store

VOCABULARY = 6
STOP = 7
STEPS_AHEAD = 2
LONGEST_WAIT = 4
"""Steps until a load or a send is done."""


@dataclass
class Grammar:
    """Takes so many tokens, and refuses the next."""

    left: int

    def accept_tokens(self, _name: str, tokens: list[int]) -> bool:
        """Whether the tokens are of the language."""
        self.left -= len(tokens)
        return self.left >= 0

    def validate_tokens(self, tokens: list[int]) -> list[int]:
        """The longest prefix that is."""
        return tokens[: max(self.left, 0)]


@dataclass
class Transfer:
    """A load or a send that is done when so many steps have run."""

    name: str
    left: int
    lost: frozenset[int] = frozenset()


@dataclass
class Launched:
    """A planned step, and what only the worker knows."""

    plan: Any
    samples: list[str]
    """Requests whose tokens will all have been computed."""
    lost: set[int] = field(default_factory=set)
    begins: list[Transfer] = field(default_factory=list)
    """Loads in the background that it begins."""


class Engine:
    """One server, for as many steps as its workload has."""

    def __init__(self, workload: Workload, seed: int, scheduler: Any) -> None:
        self.workload = workload
        self.scheduler = scheduler
        self.random = Random(f"{workload.name} {seed}")  # noqa: S311 - a fixed seed is what is wanted
        self.arrived = 0
        self.inputs: dict[str, int] = {}
        """How many more inputs each session has."""
        self.documents: list[list[int]] = []
        self.launched: deque[Launched] = deque()
        self.transfers: list[Transfer] = []
        self.sends: list[Transfer] = []
        Remote.store = self.store = Store()
        function = get_hash_fn_by_name("sha256_cbor")
        init_none_hash(function)
        self.hasher = get_request_block_hasher(BLOCK, function) if workload.caching else None

    def run(self) -> None:
        """Serve. What the scheduler raises is let through."""
        for _ in range(self.workload.steps):
            self._users()
            self._turn()
        while self.launched:
            self._results()

    # Users

    def _users(self) -> None:
        workload = self.workload
        if self.arrived < workload.requests and self._chance(workload.arrives):
            self._arrive()
        if self._chance(workload.aborts):
            self._hang_up()
        if self._chance(workload.resets):
            self.scheduler.reset_prefix_cache()
        if self._chance(workload.resets_running):
            self.scheduler.reset_prefix_cache(reset_running_requests=True)
        for name in [name for name in self.inputs if self._chance(0.3)]:
            self._go_on(name)

    def _arrive(self) -> None:
        workload, name = self.workload, f"r{self.arrived}"
        self.arrived += 1
        tokens = self._prompt()
        resumable = self._chance(workload.sessions)
        if resumable:
            self.inputs[name] = self.random.randint(1, 3)
            tokens = tokens[: workload.longest // 4]
        if workload.loads != "none" and self._chance(0.6):
            self.store.promised[name] = self.random.randint(1, len(tokens))
            if workload.loads == "in the background" or (workload.loads == "either" and self._chance(0.5)):
                self.store.in_background.add(name)
            if self._chance(0.2):
                self.store.undecided.add(name)
        if self._chance(workload.sends):
            self.store.sends.add(name)
        self.scheduler.add_request(self._request(name, tokens, resumable=resumable))

    def _prompt(self) -> list[int]:
        """A prompt that may begin as another one did."""
        length = self.random.randint(*self.workload.prompt)
        begun: list[int] = []
        if self.documents and self._chance(self.workload.shares):
            other = self.random.choice(self.documents)
            begun = other[: self.random.randint(1, len(other))]
        tokens = (begun + [self._token() for _ in range(length)])[:length]
        self.documents.append(tokens)
        return tokens

    def _request(self, name: str, tokens: list[int], *, resumable: bool) -> Request:
        structured = self._chance(self.workload.structured)
        params = SamplingParams(
            max_tokens=self.random.randint(*self.workload.outputs),
            ignore_eos=True,
            stop_token_ids=[STOP],
            structured_outputs=StructuredOutputsParams(json_object=True) if structured else None,
        )
        request = Request(
            name,
            tokens,
            params,
            None,
            arrival_time=float(self.arrived),
            priority=self.random.randint(0, 3),
            block_hasher=self.hasher,
            resumable=resumable,
        )
        if request.structured_output_request is not None:
            request.structured_output_request.grammar = Grammar(self.random.randint(1, 6))
        return request

    def _go_on(self, name: str) -> None:
        """A session's next input, or its end."""
        request = self.scheduler.requests.get(name)
        if request is None or request.is_finished():
            del self.inputs[name]
            return
        room = self.workload.longest - request.num_tokens - 2 * self.workload.outputs[1]
        goes_on = self.inputs[name] > 0 and room > 0
        tokens = [self._token() for _ in range(self.random.randint(1, max(1, min(room, 12))))]
        self.scheduler.add_request(self._request(name, tokens, resumable=goes_on))
        if goes_on:
            self.inputs[name] -= 1
        else:
            del self.inputs[name]

    def _hang_up(self) -> None:
        living = [name for name, request in self.scheduler.requests.items() if not request.is_finished()]
        if living:
            self.scheduler.finish_requests(self.random.choice(living), RequestStatus.FINISHED_ABORTED)

    # Steps

    def _turn(self) -> None:
        if self.scheduler.has_requests():
            self._plan()
            ahead = STEPS_AHEAD if self.workload.asynchronous else 1
            if len(self.launched) < ahead:
                return
        if self.launched:
            self._results()

    def _plan(self) -> None:
        plan = self.scheduler.schedule()
        requests = self.scheduler.requests
        scheduled = plan.num_scheduled_tokens
        step = Launched(plan, [name for name in scheduled if not requests[name].is_prefill_chunk])
        for load in self.store.loads:
            if load.in_background:
                wait = self.random.randint(1, LONGEST_WAIT)
                step.begins.append(Transfer(load.name, wait, frozenset(self._lost(load))))
            elif load.name in scheduled:
                step.lost |= self._lost(load)
        self.store.loads.clear()
        self.launched.append(step)

    def _lost(self, load: Load) -> set[int]:
        """A block that was not loaded, sometimes."""
        if not self._chance(self.workload.loads_fail):
            return set()
        return {self.random.choice(load.blocks[0][load.start // BLOCK : (load.end - 1) // BLOCK + 1])}

    def _results(self) -> None:
        step = self.launched.popleft()
        self.transfers += step.begins
        answer = self._answer(step)
        if self._chance(self.workload.aborts):
            self._hang_up()
        self.scheduler.update_from_output(step.plan, answer)
        if self.workload.drafts and not self.workload.asynchronous:
            self._draft(step.samples)

    def _answer(self, step: Launched) -> ModelRunnerOutput:
        names = list(step.plan.num_scheduled_tokens)
        drafted = step.plan.scheduled_spec_decode_tokens
        sampled = [
            self._sampled(len(drafted.get(name, ()))) if name in step.samples else [] for name in names
        ]
        return ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=sampled,
            kv_connector_output=self._transferred(step.lost) if self.workload.connected else None,
        )

    def _sampled(self, drafts: int) -> list[int]:
        accepted = 0
        while accepted < drafts and self._chance(self.workload.accepts):
            accepted += 1
        return [STOP if self._chance(self.workload.stops) else self._token() for _ in range(accepted + 1)]

    def _transferred(self, lost: set[int]) -> KVConnectorOutput:
        received = self._done(self.transfers)
        self.store.loading -= {transfer.name for transfer in received}
        self.sends += [Transfer(name, self.random.randint(1, LONGEST_WAIT)) for name in self.store.sending]
        self.store.sending.clear()
        sent = self._done(self.sends)
        return KVConnectorOutput(
            finished_recving={transfer.name for transfer in received} or None,
            finished_sending={transfer.name for transfer in sent} or None,
            invalid_block_ids=lost.union(*(transfer.lost for transfer in received)),
        )

    def _done(self, transfers: list[Transfer]) -> list[Transfer]:
        for transfer in transfers:
            transfer.left -= 1
        done = [transfer for transfer in transfers if transfer.left <= 0]
        transfers[:] = [transfer for transfer in transfers if transfer.left > 0]
        return done

    def _draft(self, samples: list[str]) -> None:
        names = [name for name in samples if name in self.scheduler.requests]
        most = self.workload.drafts
        fewest = most if self.workload.drafter == "eagle" else 0
        drafts = [[self._token() for _ in range(self.random.randint(fewest, most))] for _ in names]
        self.scheduler.update_draft_token_ids(DraftTokenIds(names, drafts))

    def _token(self) -> int:
        return self.random.randrange(VOCABULARY)

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability
