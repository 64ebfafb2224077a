"""The free queue, as a linked list: every link is looked up in the manager's queue when it is read."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from kvref.compat.vllm.backing import FreeQueue, a_pool
from kvref.compat.vllm.blocks import KVCacheBlock


class FreeKVCacheBlockQueue:
    """A queue of blocks [QUEUE-1 to QUEUE-6]: a manager's, or one of its own made from `blocks`.

    A link that is overwritten by hand cannot be honoured, since there are none: from then on the
    queue counts as `damaged`, and every change is an AssertionError.
    """

    def __init__(self, blocks: Sequence[KVCacheBlock], queue: FreeQueue | None = None) -> None:
        self._queue = a_pool().queue if queue is None else queue
        self.damaged = False
        self.fake_free_list_head, self.fake_free_list_tail = KVCacheBlock(-1), KVCacheBlock(-1)
        for block in (self.fake_free_list_head, self.fake_free_list_tail, *blocks):
            block.queue = self
        if queue is None:
            self.append_n(blocks)

    @property
    def num_free_blocks(self) -> int:
        """How many blocks are queued."""
        return len(self._queue)

    def get_all_free_blocks(self) -> list[KVCacheBlock]:
        """The queued blocks, first to last."""
        return list(self._queue)

    def neighbour(self, block: KVCacheBlock, distance: int) -> KVCacheBlock | None:
        """The block directly behind (1) or before (-1) another; the sentinels are the ends."""
        line = [self.fake_free_list_head, *self._queue, self.fake_free_list_tail]
        pairs = pairwise(line) if distance > 0 else pairwise(reversed(line))
        return next((following for one, following in pairs if one is block), None)

    def popleft(self) -> KVCacheBlock:
        """Take the first block [QUEUE-2]. Raises ValueError if there is none [ERR-1]."""
        self._require_links()
        if not self._queue:
            raise ValueError("No free blocks available")
        return self._queue.take_first()

    def popleft_n(self, n: int) -> list[KVCacheBlock]:
        """Take the first n blocks [QUEUE-3]. Raises AssertionError if there are fewer."""
        self._require_links()
        if not 0 <= n <= len(self._queue):
            raise AssertionError(f"{n} blocks are wanted of {len(self._queue)}")
        return [self._queue.take_first() for _ in range(n)]

    def remove(self, block: KVCacheBlock) -> None:
        """Take a block out, wherever it is [QUEUE-4]. Raises RuntimeError if it is not queued [ERR-4]."""
        self._require_links()
        if block not in self._queue:
            raise RuntimeError(f"remove() called on an invalid block: {block}")
        self._queue.remove(block)

    def append(self, block: KVCacheBlock) -> None:
        """Put a block last [QUEUE-5]."""
        self.append_n([block])

    def append_n(self, blocks: Iterable[KVCacheBlock]) -> None:
        """Put blocks last, in order [QUEUE-5]."""
        self._require_links()
        for block in blocks:
            block.queue = self
            self._queue.append(block)

    def prepend_n(self, blocks: Sequence[KVCacheBlock]) -> None:
        """Put blocks first, in order: the first of them is the new front [QUEUE-5]."""
        self._require_links()
        for block in reversed(blocks):
            block.queue = self
            self._queue.prepend(block)

    def _require_links(self) -> None:
        if self.damaged:
            raise AssertionError("a link of this queue was overwritten by hand")
