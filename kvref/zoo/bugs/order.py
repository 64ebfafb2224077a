"""In which order blocks are taken and given back."""

from kvref.zoo.bug import ORDER, Bug, Edit, Level

_UNASKED: dict[Level, str] = {"safe": ORDER}

BUGS = (
    Bug(
        "a-freed-table-is-queued-head-first",
        "FREE-1",
        "The root of a chain is evicted before its tail, which nobody can hit then.",
        (
            Edit(
                "tables",
                "        pool.stretches.release(row, first, len(row))",
                "        for at in range(first, len(row)):\n            pool.stretches.release(row, at, at + 1)",
            ),
        ),
        origin="vllm-project/vllm-metal#500",
        hidden=_UNASKED,
    ),
    Bug(
        "scratch-blocks-go-to-the-back",
        "SKIP-3",
        "Blocks without content wait in line with those that could be hit.",
        (Edit("stretches", "queue.prepend(stretch)", "queue.append(stretch)"),),
        origin="vllm-project/vllm-ascend#10348",
        hidden=_UNASKED,
    ),
    Bug(
        "the-youngest-is-evicted-first",
        "QUEUE-5",
        "Released blocks are put to the front of the queue.",
        (
            Edit(
                "free_queue",
                "        self.put_before(self._ends, stretch)",
                "        self.prepend(stretch)\n        self.count -= len(stretch.blocks)",
            ),
        ),
        hidden=_UNASKED,
    ),
    Bug(
        "groups-are-freed-in-reverse",
        "FREE-3",
        "The last group's blocks are given back first.",
        (
            Edit(
                "manager",
                "            for group in self.groups:\n                free(",
                "            for group in reversed(self.groups):\n                free(",
            ),
        ),
        hidden=_UNASKED,
    ),
)
