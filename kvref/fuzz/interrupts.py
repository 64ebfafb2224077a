"""When Ctrl-C may not come: not between two halves of a message or a sum, nor to processes of ours."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def deferred() -> Iterator[None]:
    """Ctrl-C is raised behind the block. Elsewhere than in the main thread it never is."""
    if current_thread() is not main_thread():
        yield
        return
    pressed = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        del signum, frame
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that start here never see Ctrl-C: it is for this one, which ends them."""
    # The first start of a process starts this one too, and lets signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
