"""`kvref demo`: a tiny transformer through a manager's block tables."""

from typing import Annotated

from cyclopts import Parameter

from kvref.cli.common import DIVERGED, console, needing_torch, require_positive

DEMO_REQUESTS = 16
QUICK_DEMO_REQUESTS = 6
DEMO_REPEATS = 3


def demo(
    *,
    seed: int = 1,
    requests: int | None = None,
    device: str = "cpu",
    target: str = "optimized",
    quick: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Decode with a tiny hybrid transformer through a manager's block tables, and check every logit.

    The same model without any cache says what is right: where a logit differs, the exit code is 1.

    Parameters
    ----------
    seed
        All of the model, the requests and the schedule follow from it.
    requests
        How many requests: 16, or 6 with `--quick`, if it is not given.
    device
        Where the tensors are: `cpu`, `cuda`, or another device of torch's.
    target
        The manager: `optimized`, `reference`, or `compiled` where it is built.
    quick
        Fewer requests, and one repetition.
    """
    require_positive(requests, "--requests")
    with needing_torch("demo"):
        from kvref.dataplane.transformer import demo as decoding  # noqa: PLC0415
        from kvref.dataplane.transformer import report as demo_report  # noqa: PLC0415
    result = decoding.demonstrate(
        target,
        device,
        seed=seed,
        requests=requests or (QUICK_DEMO_REQUESTS if quick else DEMO_REQUESTS),
        repeats=1 if quick else DEMO_REPEATS,
    )
    demo_report.tell(console, result)
    return 0 if result.agrees else DIVERGED
