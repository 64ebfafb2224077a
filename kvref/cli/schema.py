"""`kvref schema`: what kvref reads and writes."""

import sys
from typing import Literal

import msgspec

from kvref.operations import trace_schema
from kvref.targets.process_messages import driver_schema

SCHEMAS = {"trace": trace_schema, "driver": driver_schema}


def schema(*, of: Literal["trace", "driver"] = "trace") -> None:
    """Print a JSON Schema.

    Parameters
    ----------
    of
        `trace`: of trace files; `driver`: of what is said to a driver, and what it answers.
    """
    told = msgspec.json.format(msgspec.json.encode(SCHEMAS[of]()), indent=2).decode()
    sys.stdout.write(told + "\n")
