"""vLLM's general plugin: records the managers of its engines, or has a reference follow them.

With `KVREF_RECORD` set to a path they are recorded, with `KVREF_SHADOW` set to a folder they are followed.
vLLM calls `register` in each of its processes; without the variable it does nothing. Whatever cannot be done is
one line in vLLM's log, and the engine runs without it.
"""

import atexit
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from kvref.operations import Configuration
from kvref.record.settings import RECORD, SHADOW, Settings, ShadowSettings
from kvref.record.writer import Writer

logger = logging.getLogger("vllm.kvref")

FOLLOWS = "kvref.targets.vllm.follows"
"""The module that a shadow runs."""

_attached = False


def register() -> None:
    """Called by vLLM, perhaps more than once."""
    global _attached  # noqa: PLW0603 - a process has one vLLM
    if _attached or not {RECORD, SHADOW} & os.environ.keys():
        return
    _attached = True
    try:
        _attach(os.environ)
    except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
        logger.warning("kvref: nothing is recorded, the engine goes on: %s", defect)


def _attach(variables: Mapping[str, str]) -> None:
    # vLLM's core takes a second to import, and other modules only when it is to be recorded.
    from kvref.targets.vllm.attached import attach  # noqa: PLC0415 - see above
    from kvref.targets.vllm.recorder import Recorder  # noqa: PLC0415 - see above
    from kvref.targets.vllm.releases import CAPABILITIES  # noqa: PLC0415 - see above

    engine, tell = CAPABILITIES.release, logger.warning
    kept = Settings.of(variables) if RECORD in variables else None
    followed = ShadowSettings.of(variables) if SHADOW in variables else None

    def opening(manager: Any, configuration: Configuration) -> None:
        recorders: dict[str, Recorder] = {}

        def resumes(name: str) -> Callable[[], None]:
            def resume() -> None:
                recorders[name].is_to_resume()

            return resume

        if kept is not None:
            writer = kept.writer(configuration, engine, tell, resumes(RECORD))
            options = {"tokens": kept.tokens, "blocks": kept.blocks, "snapshots": kept.snapshots}
            recorders[RECORD] = _recorder(manager, configuration, writer, options)
        if followed is not None:
            writer = followed.writer(configuration, engine, tell, resumes(SHADOW), FOLLOWS)
            options = {"tokens": "hash", "snapshots": followed.every}
            recorders[SHADOW] = _recorder(manager, configuration, writer, options)

    def _recorder(
        manager: Any, configuration: Configuration, writer: Writer, options: dict[str, Any]
    ) -> Recorder:
        atexit.register(writer.close)
        return Recorder(manager, configuration, writer.notes, writer.end, **options)

    attach(opening)
