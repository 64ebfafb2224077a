"""A KV cache that is little more than a dictionary, behind kvref's driver protocol (docs/drivers.md).

Plain Python, without kvref: `kvref fuzz --target-cmd 'python examples/drivers/python/driver.py' --level hits`.
It serves one group of full attention, and never evicts: when a step needs an idle cached block, it says
that it gives up, and kvref tells the operations that led there.
"""

import json
import sys
from math import ceil
from typing import Any

HELLO = {
    "type": "hello",
    "protocol": 1,
    "name": "dictionary",
    "level": "hits",
    "capabilities": {"groups": ["full"], "requests": ["salt", "lora", "items", "embeds"]},
}


class GivesUpError(Exception):
    """What this manager does not do."""


class Cache:
    """Blocks 1 to `num_blocks` - 1. Block 0 is in no table here: full attention reads every token."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.size = configuration["groups"][0]["block_size"]
        self.longest = configuration["max_model_len"]
        self.unused = list(range(1, configuration["num_blocks"]))  # the next one to be taken first
        self.users = [0] * configuration["num_blocks"]
        self.stored: dict[str, int] = {}  # the hash of a block's content -> the block
        self.lengths: dict[str, int] = {}
        self.hashes: dict[str, list[str]] = {}
        self.found: dict[str, list[int]] = {}
        self.tables: dict[str, list[int]] = {}

    def perform(self, operation: dict[str, Any], hashes: list[str]) -> dict[str, Any]:
        """Perform one operation: what it returns."""
        name = operation.get("request", "")
        match operation["type"]:
            case "NewRequest":
                self.lengths[name], self.hashes[name] = len(operation["tokens"]), hashes
            case "AppendTokens":
                self.lengths[name] += len(operation["tokens"])
                self.hashes[name] += hashes
            case "Lookup":
                self.found[name] = found = self.look_up(name)
                return {"tokens": len(found) * self.size, "blocks": [found]}
            case "Allocate":
                blocks = self.allocate(name, operation)
                return {} if blocks is None else {"blocks": [blocks]}
            case "GetBlocks":
                return {"blocks": [self.tables.get(name, [])]}
            case "Free":
                self.free(name)
            case "NewStep" | "StepEnds":
                pass
            case other:
                raise GivesUpError(f"there is no {other} here")
        return {}

    def look_up(self, name: str) -> list[int]:
        """The longest prefix that is stored, and leaves a token to compute."""
        found = []
        for block_hash in self.hashes[name][: (self.lengths[name] - 1) // self.size]:
            if block_hash not in self.stored:
                break
            found.append(self.stored[block_hash])
        return found

    def allocate(self, name: str, step: dict[str, Any]) -> list[int] | None:
        """Slots for the step's tokens: the blocks that were appended, None if there are too few."""
        hits = [] if step.get("hit") is None else self.found[name]
        table = self.tables.get(name, hits)
        end = step["computed"] + len(hits) * self.size + step["new"]
        slots = min(end + step.get("lookahead", 0), self.longest)
        wanted = max(0, ceil(slots / self.size) - len(table))
        unused = [block for block in self.unused if block not in hits]
        if wanted > len(unused):
            return None
        new, self.unused = unused[:wanted], unused[wanted:]
        if not set(new).isdisjoint(self.stored.values()):
            raise GivesUpError("the next block is cached, and none is ever evicted here")
        for block in [*hits, *new]:
            self.users[block] += 1
        self.tables[name] = table = table + new
        full = min(end, self.lengths[name]) // self.size
        for block_hash, block in zip(self.hashes[name][:full], table, strict=False):
            self.stored.setdefault(block_hash, block)
        return new

    def free(self, name: str) -> None:
        """The tail of the table is to be taken again before its head."""
        for block in reversed(self.tables.pop(name, [])):
            self.users[block] -= 1
            if not self.users[block]:
                self.unused.append(block)


class Driver:
    """Answers questions; it has one cache at a time."""

    cache: Cache

    def answer(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to one question, None if there is none to give."""
        number = {"id": question["id"]}
        match question["type"]:
            case "hello":
                return HELLO | number
            case "open":
                self.cache = Cache(question["configuration"])
                return {"type": "opened"} | number
            case "apply":
                calls = question["calls"]
                try:
                    seen = [self.cache.perform(call["operation"], call.get("hashes", [])) for call in calls]
                except GivesUpError as reason:
                    return {"type": "failed", "reason": str(reason)} | number
                return {"type": "applied", "observations": seen} | number
            case _:
                return None


def main() -> None:
    """Answer a question a line, until there are no more."""
    driver = Driver()
    for line in sys.stdin:
        answer = driver.answer(json.loads(line))
        if answer is None:
            return
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
