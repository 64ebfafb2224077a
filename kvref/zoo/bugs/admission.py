"""What is needed, and whether it is there."""

from kvref.zoo.bug import Bug, Edit

_AGAIN = "no invariant asks for a grant"
_GATE = "no invariant knows what will be needed"

BUGS = (
    Bug(
        "hits-count-as-free",
        "NEED-1",
        "Free blocks that a request hits are counted for its fresh blocks, too.",
        (Edit("tables", "            need += len(stretch.blocks)", "            need += 0"),),
        origin="vllm-project/vllm#11562",
    ),
    Bug(
        "reserved-blocks-are-handed-out",
        "ALLOC-7",
        "A request is admitted into blocks that are reserved for others.",
        (
            Edit(
                "allocation",
                "        if need and need > free - reserved:",
                "        if need and need > free:",
            ),
        ),
        hidden={
            "safe": "what is reserved is the caller's account, and no read goes wrong",
            "invariants": "what is reserved is the caller's account",
        },
    ),
    Bug(
        "what-just-fits-is-refused",
        "ALLOC-7",
        "A step that takes the last free block is refused.",
        (
            Edit(
                "allocation",
                "if need > pool.queue.count - reserved:",
                "if need >= pool.queue.count - reserved:",
            ),
        ),
        hidden={"invariants": _AGAIN},
    ),
    Bug(
        "the-gate-forgets-lookahead",
        "ADMIT-1",
        "What a window holds at a time is worked out without the slots of drafts.",
        (
            Edit(
                "groups",
                "-(-min(self._past + batched + lookahead, model) // self.block_size) + 1",
                "-(-min(self._past + batched, model) // self.block_size) + 1",
            ),
        ),
        origin="Q-50",
        hidden={"safe": "a request with drafts is excused [ADMIT-1]", "invariants": _GATE},
    ),
    Bug(
        "the-gate-forgets-that-a-chunk-cuts",
        "ADMIT-1",
        "What a chunk holds at a time is worked out as if chunks and blocks began together.",
        (Edit("groups", "cut = 1 if self._chunk % self.block_size else 0", "cut = 0"),),
        origin="Q-51",
        hidden={"invariants": _GATE},
    ),
    Bug(
        "the-gate-subtracts-what-is-skipped",
        "ADMIT-3",
        "Null entries in front of a hit count as if they would give blocks back.",
        (
            Edit(
                "allocation",
                "total += min(need, group.most_held(self._batched, extent.lookahead, self._model))",
                "total += min(need, group.most_held(self._batched, extent.lookahead, self._model)) - starts[group.index].nulls",
            ),
        ),
        origin="Q-17",
        hidden={"invariants": _GATE},
    ),
    Bug(
        "the-gate-knows-the-window-alone",
        "SPEC-8",
        "A prefill is let in if a window fits, though a step holds its own tokens, too.",
        (
            Edit(
                "groups",
                "-(-min(self._past + batched + lookahead, model) // self.block_size) + 1",
                "-(-min(self._past, model) // self.block_size) + 1",
            ),
        ),
        origin="vllm-project/vllm#7470",
        hidden={"invariants": _GATE},
    ),
    Bug(
        "a-negative-need-hides-another",
        "NEED-1",
        "A table that is longer than it must be counts against another group's need.",
        (Edit("tables", "    if target <= length:\n        return 0\n", ""),),
        origin="Q-28",
    ),
    Bug(
        "lookahead-gets-no-slots",
        "ALLOC-4",
        "The slots of drafts are neither counted nor taken.",
        (
            Edit(
                "allocation",
                "        slots = min(main + lookahead, self._model)\n        if max",
                "        slots = min(main, self._model)\n        if max",
            ),
        ),
        origin="vllm-project/vllm#6849",
    ),
    Bug(
        "the-gate-is-open",
        "ALLOC-3",
        "A request that must fit as a whole is let in if its first step fits.",
        (
            Edit(
                "allocation",
                "        if must_fit and self._worst_need(request, starts, extent) > free:\n            return None\n",
                "",
            ),
        ),
        hidden={"invariants": _GATE},
    ),
)
