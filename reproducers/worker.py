"""A worker of full attention: it remembers what it wrote behind every slot, and tells what it reads wrongly."""

from collections.abc import Iterator, Sequence
from typing import Any

from scheduler import BLOCK, reply, spans, table
from vllm.v1.outputs import KVConnectorOutput

Content = tuple[int, ...]
"""Keys and values of a token depend on all tokens up to it."""


class Worker:
    """Executes steps in the order of their launch. Its text of a request is what it was told and has sampled."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.texts: dict[str, list[int]] = {}
        self.written: dict[tuple[int, int], Content] = {}
        self.misreads: list[str] = []

    def launch(
        self, sampled: Sequence[int] = (7,), drafts: Sequence[int] = (), accepted: int = 0
    ) -> tuple[Any, Any]:
        """Let the scheduler plan a step, and run it: the plan, and what the worker answers.

        Whoever has computed its whole text samples these tokens, behind the drafts that are accepted.
        """
        plan = self.scheduler.schedule()
        self._hear(plan)
        answers: dict[str, list[int]] = {}
        steps = {name: self._positions(plan, name, span) for name, span in spans(plan).items()}
        for name, positions in steps.items():
            guessed = list(drafts)[: len(plan.scheduled_spec_decode_tokens.get(name, ()))]
            self._write(name, positions, self.texts[name] + guessed)
            if positions.stop >= len(self.texts[name]):
                answers[name] = guessed[:accepted] + list(sampled)
        for name, positions in steps.items():
            self.misreads += self._misread(name, positions.start)
        for name, tokens in answers.items():
            self.texts[name] += tokens
        return plan, reply(plan, answers)

    def load(self, name: str, tokens: int, lost: Sequence[int] = ()) -> None:
        """Write what was loaded of a request, but for the table entries that were lost."""
        text = list(self.scheduler.requests[name].all_token_ids)
        self._write(name, [at for at in range(tokens) if at // BLOCK not in lost], text)

    def _hear(self, plan: Any) -> None:
        again = [*plan.scheduled_new_reqs]
        names = [new.req_id for new in again] + list(plan.scheduled_cached_reqs.resumed_req_ids)
        for name in names:
            self.texts[name] = list(self.scheduler.requests[name].all_token_ids)

    def _positions(self, plan: Any, name: str, span: range) -> range:
        """What is computed: the scheduler counts drafts that were rejected since, the worker does not."""
        known = len(self.texts[name])
        if span.stop < known:
            return span
        drafts = len(plan.scheduled_spec_decode_tokens.get(name, ()))
        return range(min(span.start, known - 1), known + drafts)

    def _slots(self, name: str) -> list[tuple[int, int]]:
        return [(block, slot) for block in table(self.scheduler, name, 0) for slot in range(BLOCK)]

    def _write(self, name: str, positions: Sequence[int], text: list[int]) -> None:
        slots = self._slots(name)
        for at in positions:
            if at < len(slots) and at < len(text):
                self.written[slots[at]] = tuple(text[: at + 1])

    def _misread(self, name: str, start: int) -> Iterator[str]:
        slots, text = self._slots(name), self.texts[name]
        wrong = [at for at in range(start) if self.written.get(slots[at]) != tuple(text[: at + 1])]
        if wrong:
            found = self.written.get(slots[wrong[0]])
            what = "never computed" if found is None else f"where the text behind them ends with {found[-3:]}"
            yield f"{name} starts at token {start}, and reads {wrong[0]}..{wrong[-1]}, {what}"


def lost(answer: Any, blocks: Sequence[int], received: Sequence[str] = ()) -> Any:
    """The same answer, with blocks that were not loaded, and requests whose load is over."""
    answer.kv_connector_output = KVConnectorOutput(
        invalid_block_ids=set(blocks), finished_recving=set(received) or None
    )
    return answer
