"""Reads what a subcommand was given: a trace in JSON, or a recording of a live engine."""

from pathlib import Path

from kvref.cli.common import tell
from kvref.operations import Trace
from kvref.record.frames import is_recording
from kvref.record.reader import Recording, trace_of
from kvref.replay import read_trace


def load(path: Path, last: int | None = None) -> Trace:
    """The trace at a path, of a recording up to operation `last`. Raises UserError, as for a broken file.

    Of a recording that ends early what can be read is given, and one line says where it ends.
    """
    if not is_recording(path):
        return read_trace(path)
    recording = Recording(path)
    trace = trace_of(recording, last)
    if recording.ends_early is not None:
        tell(recording.ends_early)
    return trace
