"""Which blocks of a sliding window are worth keeping [SWA-7, RETAIN-3]."""

from typing import final


@final
class Retention:
    """Keeps tails: the blocks that a hit at a served length reads, and EAGLE's block behind them.

    Lengths are multiples of `alignment` tokens, thinned out to multiples of `interval` if that is
    set; with an interval the prompt's last boundary is served as well. Counts are in blocks:
    `tail` blocks end `shift` blocks behind each boundary.
    """

    def __init__(
        self, block_size: int, window: int, *, alignment: int, interval: int | None, eagle: bool
    ) -> None:
        self._block_size = block_size
        self._alignment = alignment
        self._shift = 1 if eagle else 0
        self._tail = -(-(window - 1) // block_size) + self._shift
        segment = alignment if interval is None else interval
        self._segment = segment // block_size
        self._serves_prompt = interval is not None
        self._keeps_all = 0 < self._segment <= self._tail

    @property
    def keeps_all(self) -> bool:
        """Whether the tails overlap, so that nothing is thinned out [SWA-8, Q-39]."""
        return self._keeps_all

    def kept(self, start: int, end: int, prompt_tokens: int) -> list[int]:
        """The blocks of [start, end) that are kept, in order."""
        found: list[int] = []
        shift, tail, segment = self._shift, self._tail, self._segment
        if segment and tail:
            boundary = max(shift, start - (start - shift) % segment) + segment
            while boundary - tail < end:
                found.extend(range(max(start, boundary - tail), min(end, boundary)))
                boundary += segment
        if self._serves_prompt:
            last = (prompt_tokens - 1) // self._alignment * self._alignment
            stop = last // self._block_size + shift
            more = range(max(start, stop - tail), min(end, stop))
            if more:
                found = sorted({*found, *more})
        return found
