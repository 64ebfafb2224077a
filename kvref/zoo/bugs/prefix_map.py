"""Which block answers for which content."""

from kvref.zoo.bug import MISTAKE, REPORT, Bug, Edit

BUGS = (
    Bug(
        "a-taken-block-keeps-its-key",
        "POOL-4",
        "A block that is taken leaves the map, and carries its old key on.",
        (
            Edit(
                "pool",
                "            content[block] = None\n            removed += 1",
                "            removed += 1",
            ),
        ),
        origin="ovg-project/kvcached#362",
    ),
    Bug(
        "the-map-keeps-taken-blocks",
        "MAP-4",
        "A key goes on to name a block that was taken for something else.",
        (Edit("pool", "                del one.oldest[own]\n", "                pass\n"),),
        origin="vllm-project/vllm#4764",
    ),
    Bug(
        "the-youngest-duplicate-answers",
        "MAP-2",
        "Of several blocks with one content the last one cached is hit, and the others are forgotten.",
        (
            Edit(
                "prefix_map",
                "answering = list(map(self.oldest.setdefault, names, blocks))",
                "self.oldest.update(zip(names, blocks, strict=True))\n        answering = blocks",
            ),
            Edit("pool", "if one.oldest.setdefault(name, block) != block:", "if name in one.oldest:"),
        ),
    ),
    Bug(
        "a-lost-copy-takes-the-others-along",
        "MAP-4",
        "If the first of several blocks with one content is evicted, nobody finds the others.",
        (
            Edit(
                "prefix_map",
                "            block = next(iter(younger))\n            oldest[name] = block\n",
                "            del oldest[name]\n            del self.younger[name]\n            return\n",
            ),
        ),
        origin="vllm-project/vllm#55092",
    ),
    Bug(
        "groups-share-one-map",
        "HASH-9",
        "A key leaves out the group's number, so that a group hits what another has written.",
        (
            Edit(
                "manager",
                "[PrefixMap(group.hashes_per_block) for group in self.groups]",
                "[PrefixMap(group.hashes_per_block) for group in self.groups[:1]] * len(self.groups)",
            ),
        ),
        origin="vllm-project/aibrix#2330",
    ),
    Bug(
        "a-reset-keeps-the-map",
        "RESET-1",
        "A reset says that it was done, and what was cached can still be found.",
        (Edit("pool", "        for one in self.maps:\n            one.clear()\n", ""),),
        origin="vllm-project/vllm-omni#6739",
    ),
    Bug(
        "a-reset-does-not-wait",
        "RESET-1",
        "Content is forgotten while requests hold blocks, and that is told as done.",
        (
            Edit(
                "pool",
                "        if self.queue.count != self.num_blocks - 1:\n            return False\n",
                "",
            ),
        ),
        hidden={"safe": "to forget what is right is sound"},
    ),
    Bug(
        "eviction-by-hand-does-nothing",
        "POOL-8",
        "A call that should forget what was loaded wrong is there, and does nothing.",
        (Edit("manager", "            self.pool.evict(block)", "            pass"),),
        origin="sgl-project/sglang#37584",
        hidden={"hits": "no block is evicted by its id, which is each manager's own"},
    ),
    Bug(
        "runs-survive-an-eviction",
        "POOL-5",
        "What makes long lookups short vouches for a block that was evicted from its midst.",
        (Edit("pool", "                one.runs.cut(block)", "                pass"),),
    ),
    Bug(
        "unknown-blocks-are-evicted-without-a-word",
        "ERR-7",
        "A block id outside the pool is not told as the caller's mistake.",
        (
            Edit(
                "manager",
                "        check_blocks(blocks, self.pool)\n",
                "        blocks = [block for block in blocks if 0 <= block < self.pool.num_blocks]\n",
            ),
            Edit("manager", "import check_blocks, check_call", "import check_call"),
        ),
        hidden={"safe": MISTAKE, "hits": MISTAKE, "invariants": REPORT},
    ),
)
