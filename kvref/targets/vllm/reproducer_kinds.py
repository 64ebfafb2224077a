"""What a reproducer's worker does for each kind of attention: source text of its methods.

A line that begins with a mark, such as `#aligned`, is kept where the trace asks for that part.
"""

from typing import Final

SPANS: Final = '''
    def _attend(self, group, step):
        """All keys and values are written; then the known tokens read what their attention spans."""
        size = BLOCK_SIZES[group]
        for share in step:
            request, table = share.life.request, share.tables[group]
            values = [content(request, p) for p in range(share.start, share.known)]
            #drafts values += share.drafts
            for position, value in enumerate(values, share.start):
                block = entry(table, position // size)
                if not block:
                    self._check(share, group, 0, 0, position, value, "writes")
                    break
                self.memory[group, block, position % size] = value
        for share in step:
            request, table = share.life.request, share.tables[group]
            #drafts if share.known == share.start:
            #drafts     continue  # it was freed
            for position in range(FIRST_READ[group](share.start), share.known):
                block = entry(table, position // size)
                self._check(share, group, block, position % size, position, content(request, position))
'''

STATES: Final = '''
    def _advance(self, group, step):
        """All recurrent states are read before any is written."""
        size = BLOCK_SIZES[group]
        for share in step:
            request, last = share.life.request, share.start - 1
            if 0 <= last < len(request.all_token_ids):
                block = share.life.states.get(group) or entry(share.tables[group], last // size)
                self._check(share, group, block, 0, last, content(request, last))
        for share in step:
            self._leave_states(group, share)
'''

PLAIN_STATES: Final = '''
    def _leave_states(self, group, share):
        """The state behind the last token is the running one; those at the ends of blocks stay there."""
        size, table, request = BLOCK_SIZES[group], share.tables[group], share.life.request
        block = share.life.states[group] = entry(table, (share.end - 1) // size)
        if not block:
            self._check(share, group, 0, 0, share.end - 1, content(request, share.end - 1), "writes")
        self.memory[group, block, 0] = content(request, share.end - 1)
        #aligned if group in ALIGNED:
        #aligned     return  # only the running state has a block
        for index in range(share.start // size, share.end // size):
            if entry(table, index):
                self.memory[group, table[index], 0] = content(request, (index + 1) * size - 1)
'''

DRAFTED_STATES: Final = '''
    def _leave_states(self, group, share):
        """A state behind the known tokens, one behind each draft, and those at the ends of blocks."""
        if share.known == share.start:
            return  # it was freed
        last = share.known - 1
        for drafted, value in enumerate([content(share.life.request, last), *share.drafts]):
            block = self._state_block(group, share, drafted)
            if not block:
                self._check(share, group, 0, 0, last + drafted, value, "writes")
            self.memory[group, block, 0] = value
        #aligned if group not in ALIGNED:
        #aligned     self._copy_ends(group, share, share.start + 1, share.known)
        #unaligned self._copy_ends(group, share, share.start + 1, share.known)
        self._settle(group, share, share.known)

    def _settle(self, group, share, end):
        """The state behind `end` tokens is the running one."""
        block = self._state_block(group, share, end - share.known)
        if block:
            self.memory[group, block, 0] = content(share.life.request, end - 1)
            share.life.states[group] = block
        self._copy_ends(group, share, share.known, end)

    def _copy_ends(self, group, share, first, last):
        for end in range(first, last + 1):
            whole, rest = divmod(end, BLOCK_SIZES[group])
            block = entry(share.tables[group], whole - 1) if whole and not rest else 0
            if block:
                self.memory[group, block, 0] = content(share.life.request, end - 1)

    def _state_block(self, group, share, drafted):
        end = share.known
        #aligned if group in ALIGNED:  # laid out for the step as it was scheduled
        #aligned     end = share.end
        return entry(share.tables[group], -(-end // BLOCK_SIZES[group]) - 1 + drafted)
'''

CROSS: Final = '''
    def _attend_across(self, group, step):
        """The encoder's output is written at a request's first step, and read whole at each."""
        size = BLOCK_SIZES[group]
        for reads in (False, True):
            for share in step:
                for position, value in enumerate(share.life.encoder):
                    block = entry(share.tables[group], position // size)
                    if reads:
                        self._check(share, group, block, position % size, position, value)
                    elif block and not share.life.encoded:
                        self.memory[group, block, position % size] = value
                share.life.encoded = share.life.encoded or reads
'''

DRAFTS: Final = '''
    def _tell_drafts(self, share):
        lower = share.life.rejected - share.rejected  # since it was scheduled
        share.start -= lower
        end = share.end - lower
        share.known = max(share.start, min(end, len(share.life.request.all_token_ids)))
        share.drafts = [("draft", id(share), n) for n in range(end - share.known)]
        share.life.last = share

    def accept(self, request, tokens):
        """So many tokens came: all but the last are drafts that were right."""
        life = self.lives.get(request.request_id)
        if life is None or life.last is None:
            return
        share, life.last = life.last, None
        end = share.known + tokens - 1
        life.rejected += share.known + len(share.drafts) - end
        #spans for group in FIRST_READ:
        #spans     for position in range(share.known, end):
        #spans         block = entry(share.tables[group], position // BLOCK_SIZES[group])
        #spans         if block:
        #spans             place = group, block, position % BLOCK_SIZES[group]
        #spans             self.memory[place] = content(request, position)
        #states for group in STATES:
        #states     self._settle(group, share, end)
'''

LOADS: Final = '''
    def load(self, request, tables, start, end):
        """External tokens arrive wherever there is a block for them."""
        #spans for group in FIRST_READ:
        #spans     for position in range(start, end):
        #spans         block = entry(tables[group], position // BLOCK_SIZES[group])
        #spans         if block:
        #spans             self.memory[group, block, position % BLOCK_SIZES[group]] = content(request, position)
        #states for group in STATES:
        #states     block = entry(tables[group], (end - 1) // BLOCK_SIZES[group]) if start < end else 0
        #states     if block:
        #states         self.memory[group, block, 0] = content(request, end - 1)

    def schedule_load(self, request, new_blocks, start, end, encoder=0):
        """Tokens [start, end) are loaded in the background; nothing is computed."""
        if new_blocks is not None:
            self._admit(request, encoder).loading = (start, end)

    def loaded(self, request, valid):
        """The load in the background is done, as far as it is valid."""
        life = self.lives[request.request_id]
        start, end = life.loading
        self.load(request, life.tables, start, min(valid, end))
        life.loading = (0, 0)
'''
