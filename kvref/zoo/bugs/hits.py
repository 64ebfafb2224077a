"""How long a hit is, and what it consists of."""

from kvref.zoo.bug import Bug, Edit

BUGS = (
    Bug(
        "the-whole-prompt-is-hit",
        "HIT-8",
        "A hit leaves no token to compute.",
        (
            Edit(
                "manager",
                "longest_hit(request.block_hashes, tokens - 1)",
                "longest_hit(request.block_hashes, tokens)",
            ),
        ),
    ),
    Bug(
        "the-last-block-is-taken-for-all",
        "FULL-1",
        "A hit asks for its last block alone, and not for those before.",
        (
            Edit(
                "lookup",
                "self._first_missing(names, kind.first_read(length), length // size + extra)",
                "self._first_missing(\n                names, kind.first_read(length) if kind.window else length // size - 1, "
                "length // size + extra\n            )",
            ),
        ),
        origin="vllm-project/aibrix#2329",
    ),
    Bug(
        "hits-are-read-although-unwanted",
        "HIT-8",
        "A request that does not want to read the prefix cache reads it.",
        (
            Edit(
                "manager",
                "if not self._caching or request.skip_reading_prefix_cache:",
                "if not self._caching:",
            ),
        ),
        hidden={"safe": "what is read is right all the same"},
    ),
    Bug(
        "one-block-too-many-is-cached",
        "MGR-4",
        "A block whose last token is not computed yet can be found.",
        (
            Edit(
                "groups",
                "        aligned = tokens - tokens % self._alignment\n",
                "        tokens += 1\n        aligned = tokens - tokens % self._alignment\n",
            ),
        ),
        origin="vllm-project/vllm#41838",
    ),
    Bug(
        "drafts-are-cached",
        "ALLOC-12",
        "Blocks are cached up to the last slot of a step, drafts included that may be rejected.",
        (
            Edit(
                "allocation",
                "            full_tokens = min(main, request.num_tokens, self._model)\n            if full_tokens >= tables.caches_at:\n                check",
                "            full_tokens = min(main + lookahead, request.num_tokens, self._model)\n            if full_tokens >= tables.caches_at:\n                check",
            ),
        ),
    ),
    Bug(
        "what-is-loading-is-cached",
        "ALLOC-11",
        "Tokens that a connector has yet to bring are cached at once.",
        (
            Edit(
                "manager",
                "            request, rows, extent, not delay_cache_blocks,",
                "            request, rows, extent, True,",
            ),
        ),
    ),
)
