"""Q-18: a request is preempted in the step that allocated it, and reads its own tokens, never computed.

A step serves A, of low priority, first: the blocks of its next 64 tokens get their keys at once.
Then B, of high priority, needs a block, and none is free: A is preempted and taken out of the step.
Its 64 tokens are not computed, but its blocks go to the free queue with their keys.
A comes back, hits them, and reads keys and values that nobody ever wrote.
"""
# Upstream: open: #57580 (for Mamba), and the proposals #43569 and #56525.

from collections.abc import Iterator

from scheduler import BLOCK, build, full, reply, request, sampled, spans, table, tell

STEPS = 40


def story() -> Iterator[str]:
    """Tell it of full attention alone, in a pool of 16 blocks."""
    scheduler = build(full(), blocks=16, policy="priority", long_prefill_token_threshold=64)
    written: dict[tuple[int, int], int] = {}  # what the worker really wrote, by block and slot
    scheduler.add_request(request("A", range(100, 292), outputs=4, priority=5))
    scheduler.add_request(request("D", [4] * 16, outputs=1, priority=9))  # alone, A would not be cut
    for step in range(STEPS):
        if step == 1:
            scheduler.add_request(request("B", [3] * 48, outputs=2, priority=0))
        plan = scheduler.schedule()
        computed = spans(plan)
        told = ", ".join(f"{name} {span.start}..{span.stop - 1}" for name, span in computed.items())
        print(f"step {step} computes {told or 'nothing'}; preempted {sorted(plan.preempted_req_ids or ())}")
        for name, span in computed.items():
            tokens = list(scheduler.requests[name].all_token_ids)
            slots = [(block, slot) for block in table(scheduler, name) for slot in range(BLOCK)]
            never = [at for at in range(span.start) if written.get(slots[at]) != tokens[at]]
            if never:
                yield f"{name} starts at token {span.start}, and reads {never[0]}..{never[-1]}, never computed"
                return
            written |= {slots[at]: tokens[at] for at in span}
        scheduler.update_from_output(plan, reply(plan, sampled(scheduler, computed)))
        if not scheduler.requests:
            return


if __name__ == "__main__":
    tell(story)
