"""`kvref schema`: the trace format."""

import sys

import msgspec

from kvref.operations import trace_schema


def schema() -> None:
    """Print the JSON Schema of trace files."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(trace_schema()), indent=2).decode() + "\n")
