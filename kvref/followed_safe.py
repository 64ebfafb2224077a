"""Data behind the block ids that a recorded engine handed out: level `safe`, of what was recorded alone.

Where a recording tells no token ids, a block's last token stands for the block and all before it, so content is
told apart block by block. What the engine's keys conflate is then one content.
"""

from typing import final

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.following import CannotFollowError
from kvref.operations import Configuration
from kvref.protocol import Scheduler
from kvref.record.told import Told
from kvref.targets.reference import ReferenceSession


@final
class FollowedSafe:
    """Follows one engine from its first call on."""

    def __init__(self, configuration: Configuration) -> None:
        self._scheduler = Scheduler(configuration.max_model_len, drafts=configuration.max_model_len)
        self._safety = Safety(configuration, ReferenceSession)

    @property
    def checked(self) -> int:
        """Slots of tokens and states whose content was checked so far."""
        return self._safety.checked

    def sees(self, one: Told) -> list[Difference]:
        """What is wrong with what a call returned, or with what a step that ended has read.

        Raises CannotFollowError for a call that no legal scheduler makes: what it means is not known.
        """
        illegal = self._scheduler.violation(one.operation)
        if illegal is not None:
            raise CannotFollowError(f"a call cannot be followed at level safe: {illegal}")
        wrong = self._safety.sees(one.operation, one.observation)
        self._scheduler.record(one.operation, one.observation)
        return wrong
