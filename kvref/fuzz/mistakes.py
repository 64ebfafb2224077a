"""Calls that no legal scheduler makes: the last operation of some cases [PROTO-2, OBS-1].

After a mistake states may differ, so a case ends with it: what is compared is its meaning.
"""

from kvref.fuzz.choices import Choices
from kvref.operations import Allocate, CacheBlocks, Configuration, Evict, MambaGroup, Operation
from kvref.protocol import Phase, Scheduler


def draw_mistake(choices: Choices, configuration: Configuration, scheduler: Scheduler) -> Operation:
    """A random mistake that this state allows."""
    mistakes: list[Operation] = [Evict((configuration.num_blocks + choices.integer(0, 3),))]
    running = [
        book for book in scheduler.books.values() if book.phase is Phase.RUNNING and not book.scheduled_now
    ]
    for book in running:
        mistakes.append(Allocate(book.name, book.computed, 0))
        # More coarse blocks than there are fine hashes, or vLLM would not notice [CACHE-2, Q-45].
        coarse = configuration.scheduler_block_size
        beyond = (book.tokens + 4 * coarse) * coarse // configuration.hash_block_size
        align = any(isinstance(g, MambaGroup) and g.mode == "align" for g in configuration.groups)
        if configuration.enable_caching and not align:
            mistakes.append(CacheBlocks(book.name, beyond))
    return choices.choice(mistakes)
