"""Several groups at once."""

from kvref.zoo.bug import CHOICE, ORDER, REPORT, Bug, Edit

BUGS = (
    Bug(
        "groups-do-not-agree-on-the-hit",
        "HIT-7",
        "A group that was asked before another one shortened the hit is not asked again.",
        (Edit("lookup", "agreed = agreed + 1 if shorter == length else 1", "agreed += 1"),),
        origin="NVIDIA/TensorRT-LLM#10875",
    ),
    Bug(
        "a-list-goes-on-behind-the-hit",
        "HIT-5",
        "A group's list of hit blocks is not cut to the length that all groups serve.",
        (Edit("lookup", "self._found[member][: end - first]", "self._found[member]"),),
        origin="Q-2",
    ),
    Bug(
        "the-hash-block-size-is-lost",
        "HASH-10",
        "Where groups differ in block size, a block is named by one of its fine hashes, counted from the start.",
        (Edit("groups", "self.block_size // config.hash_block_size", "1"),),
        origin="ovg-project/kvcached#451",
    ),
    Bug(
        "context-parallelism-does-not-widen-blocks",
        "DCP-1",
        "A table entry covers one rank's tokens, not those of all.",
        (Edit("groups", "spec.block_size * config.context_parallel_size", "spec.block_size"),),
        origin="vllm-project/vllm#26296",
    ),
    Bug(
        "all-groups-cache-every-block",
        "COORD-5",
        "Blocks behind the last length that can be hit are cached, too.",
        (
            Edit(
                "groups",
                "self.block_size if config.has_lone_group else config.scheduler_block_size",
                "self.block_size",
            ),
        ),
        hidden={"invariants": CHOICE, "safe": CHOICE},
    ),
    Bug(
        "a-second-member-is-not-asked",
        "POOL-3",
        "Of several groups with one spec only the first is asked whether it has a state.",
        (
            Edit(
                "lookup",
                "if name in self._maps[0] and all(name in one for one in self._maps):",
                "if name in self._maps[0]:",
            ),
            Edit(
                "lookup", "[[one[name]] for one in self._maps]", "[[one.get(name, 0)] for one in self._maps]"
            ),
        ),
        # No block is evicted by its id at level hits, which is each manager's own.
        hidden={
            "hits": "equal groups give back and take in turn: the first loses a state before the others do"
        },
    ),
    Bug(
        "hits-of-later-groups-are-taken",
        "BIND-1",
        "A group takes fresh blocks before the hits of the next group are held.",
        (
            Edit(
                "allocation",
                "        for start in starts:\n            self._pool.hold(start.hits)\n        for group in self._groups:\n            start = starts[group.index]\n",
                "        for group in self._groups:\n            start = starts[group.index]\n            self._pool.hold(start.hits)\n",
            ),
        ),
        origin="Q-3",
    ),
    Bug(
        "a-block-of-two-counts-as-common",
        "COMMON-1",
        "The common prefix of all requests has blocks that only some of them hold.",
        (Edit("manager", "of[row[count]].users == everybody", "of[row[count]].users >= min(2, everybody)"),),
        origin="vllm-project/vllm#23130",
        hidden={"invariants": REPORT},
    ),
    Bug(
        "encoder-tokens-take-decoder-slots",
        "CROSS-1",
        "The table of cross attention follows the decoder's tokens.",
        (
            Edit(
                "groups",
                "        return -(-encoder // self.block_size)",
                "        return -(-slots // self.block_size)",
            ),
        ),
    ),
    Bug(
        "blocks-are-taken-in-reverse",
        "QUEUE-3",
        "Blocks from the front of the queue come into a table in the wrong order.",
        (
            Edit(
                "free_queue",
                "                piece = blocks[: -count - 1 : -1]\n                del blocks[-count:]",
                "                piece = blocks[-count:]\n                del blocks[-count:]",
            ),
        ),
        hidden={"invariants": ORDER, "hits": ORDER, "safe": ORDER},
    ),
)
