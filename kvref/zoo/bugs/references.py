"""Who uses which block, and who has given it back."""

from kvref.zoo.bug import REPORT, Bug, Edit

BUGS = (
    Bug(
        "a-release-forgets-other-users",
        "POOL-7",
        "A block that one of its users gives back is free, whoever else reads it.",
        (Edit("stretches", "            stretch.users -= 1\n", "            stretch.users = 0\n"),),
        origin="sgl-project/sglang#27038",
    ),
    Bug(
        "a-second-user-is-not-counted",
        "POOL-6",
        "A block that is hit while somebody holds it counts one user, and is free when the first leaves.",
        (Edit("stretches", "            stretch.users += 1\n", "            stretch.users = 1\n"),),
    ),
    Bug(
        "a-hit-block-stays-in-the-queue",
        "POOL-6",
        "A free block that is hit gains a user, and can be taken for something else all the same.",
        (
            Edit(
                "stretches",
                "if stretch.after is not None:\n                self.queue",
                "if False:\n                self.queue",
            ),
        ),
        origin="NVIDIA/TensorRT-LLM#12667",
    ),
    Bug(
        "a-freed-request-keeps-its-tables",
        "FREE-4",
        "A request's blocks are released, and its tables stay, to be released again.",
        (
            Edit(
                "manager", "self.tables.pop(request.request_id, None)", "self.tables.get(request.request_id)"
            ),
        ),
        origin="sgl-project/sglang-jax#982",
    ),
    Bug(
        "the-last-block-is-never-freed",
        "FREE-1",
        "The block at the end of a table is not given back.",
        (
            Edit(
                "tables",
                "        pool.stretches.release(row, first, len(row))",
                "        pool.stretches.release(row, first, len(row) - 1)",
            ),
        ),
        origin="NVIDIA/TensorRT-LLM#15018",
    ),
    Bug(
        "a-refused-admission-keeps-its-hits",
        "INV-10",
        "Hits are held before it is known whether the rest fits, and are not given back if it does not.",
        (
            Edit(
                "allocation",
                "        if need and need > free - reserved:\n            return None\n        tables = Tables(",
                "        if need and need > free - reserved:\n"
                "            for start in starts:\n"
                "                self._pool.hold(start.hits)\n"
                "            return None\n"
                "        tables = Tables(",
            ),
        ),
        origin="sgl-project/sglang#16067",
    ),
    Bug(
        "the-free-count-forgets-hits",
        "POOL-6",
        "Free blocks that are hit leave the queue, and are counted as free for ever.",
        (
            Edit(
                "free_queue",
                "        self.count -= len(stretch.blocks)\n        self._unlink(stretch)",
                "        self._unlink(stretch)",
            ),
        ),
        origin="NVIDIA/TensorRT-LLM#12834",
    ),
    Bug(
        "usage-counts-content",
        "USAGE-1",
        "Free blocks with content count as used.",
        (
            Edit(
                "pool",
                "1.0 - self.queue.count / usable if usable",
                "1.0 - [self.content[b] for b in self.queue.ids()].count(None) / usable if usable",
            ),
        ),
        origin="sgl-project/sglang#35270",
        hidden={"hits": REPORT, "safe": REPORT},
    ),
    Bug(
        "sinks-are-not-set-aside",
        "SINK-1",
        "The blocks of an attention sink are handed out like any others.",
        (
            Edit(
                "groups",
                "(spec.sink_len or 0) // spec.block_size for",
                "0 * spec.block_size for",
            ),
        ),
    ),
)
