"""What is played on a manager."""

from typing import Literal, NamedTuple

from kvref.operations import Trace

Besides = Literal["hooks", "looks", "asks", "blunders", "limits"]
"""What is done besides a trace: hooks are told of the life of blocks; all requests are looked up after each
operation, those that have ended, too, and asked for what all share; and behind its end what is returned is asked
for all that it tells, blunders are made, and limits sought. It takes long, and so is not done for every trace."""


class Plan(NamedTuple):
    """What is played."""

    trace: Trace
    besides: tuple[Besides, ...]
