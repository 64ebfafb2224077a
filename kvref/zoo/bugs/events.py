"""What is told of caching and eviction."""

from kvref.zoo.bug import REPORT, Bug, Edit, Level

_UNTOLD: dict[Level, str] = {"hits": REPORT, "safe": REPORT}

BUGS = (
    Bug(
        "removals-are-not-told",
        "EVENT-4",
        "Evicted content is not announced.",
        (Edit("pool", "            if tells:\n", "            if tells and self.was_evicted_by_hand:\n"),),
        hidden=_UNTOLD,
    ),
    Bug(
        "a-store-has-no-parent",
        "EVENT-3",
        "Blocks are announced without the block before them.",
        (Edit("caching", "hash_number(hashes[start * per_block - 1]) if start else None", "None"),),
        origin="llm-d/llm-d-inference-sim#570",
        hidden={**_UNTOLD, "invariants": REPORT},
    ),
    Bug(
        "the-parent-is-what-was-stored-before",
        "EVENT-3",
        "Where blocks are passed over, the parent is that of the first one kept, not of the range.",
        (
            Edit(
                "caching",
                "hash_number(hashes[start * per_block - 1]) if start else None",
                "hash_number(hashes[min([start, *kept[1:]]) * per_block - 1 + (per_block if len(kept) < end - start else 0)])"
                " if start else None",
            ),
        ),
        origin="vllm-project/vllm-ascend#12252",
        hidden={**_UNTOLD, "invariants": REPORT},
    ),
    Bug(
        "events-name-one-ranks-block-size",
        "EVENT-3",
        "Under context parallelism a store tells the size of one rank's block.",
        (
            Edit(
                "groups",
                "        self.window: Final = window_of(spec)\n",
                "        self.window: Final = window_of(spec)\n        self.told_size: Final = spec.block_size\n",
            ),
            Edit("caching", "        block_size=size,", "        block_size=group.told_size,"),
        ),
        origin="vllm-project/vllm#49971",
        hidden={**_UNTOLD, "invariants": REPORT},
    ),
    Bug(
        "a-reset-is-not-told",
        "EVENT-5",
        "Consumers go on to believe in content that a reset has forgotten.",
        (
            Edit(
                "pool",
                "        if self._records_events:\n            self.events.append(AllBlocksCleared())\n",
                "",
            ),
            Edit("pool", "MEDIUM_GPU, AllBlocksCleared, BlockRemoved", "MEDIUM_GPU, BlockRemoved"),
        ),
        hidden=_UNTOLD,
    ),
    Bug(
        "stores-leave-out-extra-keys",
        "EVENT-3",
        "A store does not tell the adapter, the salt and the images that its hashes stand for.",
        (Edit("caching", "extra_keys=tuple(keys) or None", "extra_keys=None"),),
        origin="llm-d/llm-d-kv-cache#47",
        hidden={**_UNTOLD, "invariants": REPORT},
    ),
    Bug(
        "events-are-told-twice",
        "EVENT-1",
        "Events that were taken are told again.",
        (Edit("manager", "        self.pool.events = []\n", ""),),
        hidden=_UNTOLD,
    ),
    Bug(
        "a-store-behind-a-null-raises",
        "EVENT-3",
        "With events on, caching a block raises where the block before it is null.",
        (
            Edit(
                "caching",
                "    if tells:\n",
                '    if tells and start and not row[start - 1]:\n        raise AssertionError("no parent")\n    if tells:\n',
            ),
        ),
        origin="Q-64",
    ),
    Bug(
        "a-store-tells-kept-tokens-alone",
        "EVENT-3",
        "A store's tokens are those of its blocks, without what was passed over in between.",
        (
            Edit(
                "caching",
                "token_ids=tuple(request.all_token_ids[start * size : end * size])",
                "token_ids=tuple([t for i in kept for t in request.all_token_ids[i * size : (i + 1) * size]])",
            ),
        ),
        origin="vllm-project/vllm#44451",
        hidden={**_UNTOLD, "invariants": REPORT},
    ),
)
