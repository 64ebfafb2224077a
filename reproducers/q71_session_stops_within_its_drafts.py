"""Q-71: a streaming session stops within its accepted drafts, and its next input is taken for computed.

A session may sample two tokens, and has sampled one. The next step verifies three drafts, and all are right:
of its four tokens one is kept, but all count as computed. The next input begins behind the one that was kept.
Its first tokens are never computed: the drafts lie there, and the keys say the input.
"""
# Upstream: no report known.

from collections.abc import Iterator

from scheduler import build, full, request, tell
from vllm.v1.outputs import DraftTokenIds
from worker import Worker

PROMPT, MORE, DRAFTS = list(range(100, 130)), list(range(300, 370)), [5, 6, 8]


def story() -> Iterator[str]:
    """Tell it of a plain scheduler, and a prompt lookup that drafts."""
    scheduler = build(full(), drafts=len(DRAFTS), drafter="ngram")
    worker = Worker(scheduler)
    scheduler.add_request(request("S", PROMPT, outputs=2, resumable=True))
    scheduler.update_from_output(*worker.launch())
    scheduler.update_draft_token_ids(DraftTokenIds(["S"], [DRAFTS]))
    scheduler.update_from_output(*worker.launch(drafts=DRAFTS, accepted=len(DRAFTS)))
    s = scheduler.requests["S"]
    print(f"S waits: it has {s.num_tokens} tokens, of which {s.num_computed_tokens} count as computed")
    scheduler.add_request(request("S", MORE, outputs=2, resumable=True))
    scheduler.update_from_output(*worker.launch())
    yield from worker.misreads
    worker.misreads.clear()
    scheduler.add_request(request("C", [*s.all_token_ids]))
    worker.launch()
    yield from worker.misreads


if __name__ == "__main__":
    tell(story)
