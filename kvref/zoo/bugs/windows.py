"""Sliding windows and chunks."""

from kvref.zoo.bug import CHOICE, Bug, Edit

_TOLD_ONCE = "a worker is told a table once, and what is appended later"

BUGS = (
    Bug(
        "a-window-is-a-token-too-short",
        "SWA-1",
        "The oldest token that the next one reads counts as skipped.",
        (Edit("groups", "return max(0, computed - self._past)", "return max(0, computed - self._past + 1)"),),
        origin="huggingface/transformers#37574",
    ),
    Bug(
        "half-a-block-out-is-out",
        "SKIP-1",
        "A block that the window has left in part is released as a whole.",
        (
            Edit(
                "groups",
                "        return self.skipped_tokens(computed) // self.block_size",
                "        return -(-self.skipped_tokens(computed) // self.block_size)",
            ),
        ),
    ),
    Bug(
        "windows-never-release",
        "SKIP-1",
        "Releasing what a window has left is there, and does nothing: windows hold what full attention holds.",
        (
            Edit(
                "allocation",
                "        for group in self._releasing:\n",
                "        for group in self._releasing[:0]:\n",
            ),
        ),
        origin="sgl-project/sglang#28161",
    ),
    Bug(
        "released-entries-stay-in-the-table",
        "SKIP-1",
        "What a window has left is free, and its table goes on to name it.",
        (Edit("tables", "    row[at:end] = [0] * (end - at)\n", ""),),
        origin="sgl-project/sglang#27586",
        hidden={"hits": _TOLD_ONCE, "safe": _TOLD_ONCE},
    ),
    Bug(
        "null-entries-are-cached",
        "CACHE-4",
        "The null block gets the keys of what the window has left, and is hit.",
        (
            Edit("caching", "        kept = [index for index in kept if row[index]]\n", "        pass\n"),
            Edit(
                "caching",
                "    elif 0 in row[start:end]:\n        kept = [index for index in range(start, end) if row[index]]\n",
                "",
            ),
        ),
        origin="Q-66",
    ),
    Bug(
        "a-chunk-ends-a-token-early",
        "CHUNK-2",
        "The chunk is given up for the last token that reads it.",
        (
            Edit(
                "groups",
                "        return computed - computed % self._chunk",
                "        return computed + 1 - (computed + 1) % self._chunk",
            ),
        ),
        origin="ml-explore/mlx-lm#1673",
    ),
    Bug(
        "a-chunk-slides",
        "CHUNK-2",
        "A chunk is taken for a window of its size.",
        (
            Edit(
                "groups",
                "        return computed - computed % self._chunk",
                "        return max(0, computed - self._chunk)",
            ),
        ),
    ),
    Bug(
        "the-tail-lacks-a-block",
        "SWA-7",
        "Of what a hit of a window reads, a block in part is not kept.",
        (
            Edit(
                "retention",
                "self._tail = -(-(window - 1) // block_size) + self._shift",
                "self._tail = (window - 1) // block_size + self._shift",
            ),
        ),
        hidden={"invariants": CHOICE, "safe": CHOICE},
    ),
    Bug(
        "retention-forgets-the-prompts-end",
        "RETAIN-3",
        "With a retention interval the tail at the prompt's last boundary is not kept.",
        (Edit("retention", "self._serves_prompt = interval is not None", "self._serves_prompt = False"),),
        origin="vllm-project/vllm#51295",
        hidden={"invariants": CHOICE, "safe": CHOICE},
    ),
    Bug(
        "a-step-is-quiet-too-long",
        "ALLOC-10",
        "The short cut of a decode step is taken for a token too long.",
        (
            Edit(
                "tables",
                "self.quiet = min(self.grows_behind, self.releases_at, self.caches_at - 1)",
                "self.quiet = min(self.grows_behind, self.releases_at, self.caches_at - 1) + 1",
            ),
        ),
    ),
    Bug(
        "a-hit-window-begins-late",
        "SWA-5",
        "The first block of a hit window is left out as if it were not read.",
        (
            Edit(
                "lookup",
                "        return [0] * first + self._found[member][: end - first]\n",
                "        row = [0] * first + self._found[member][: end - first]\n"
                "        if 0 < first < end:\n            row[first] = 0\n        return row\n",
            ),
        ),
    ),
)
