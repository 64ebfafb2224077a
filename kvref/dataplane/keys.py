"""Whether a misread is the fault of the keys: two contents that the observed key format gives one name.

A manager knows content by its hash keys, whose format other systems depend on. It conflates an adapter's
name with an equal salt (HASH-4), images before a block's last one (Q-10), and what a streaming session
has replaced (Q-11). Any manager with these keys hands such content out.
"""

from collections.abc import Sequence

from kvref.hashing import BlockHasher
from kvref.operations import AppendTokens, Configuration, ContinueRequest, NewRequest, Operation
from kvref.request import Request
from kvref.targets.inprocess import continue_request, hasher_of, request_of
from spec.units import Tokens


def share_key(
    configuration: Configuration,
    operations: Sequence[Operation],
    block_size: int,
    position: int,
    readers: Sequence[str],
) -> bool:
    """Whether these requests' keys are equal for the block of `block_size` tokens that holds `position`.

    Of the first request and any other.
    """
    hasher = hasher_of(configuration)
    if hasher is None:
        return False
    requests = _requests(operations, hasher)
    fine = configuration.hash_block_size
    first, last = (
        position // block_size * block_size // fine,
        (position // block_size + 1) * block_size // fine,
    )
    keys = [requests[name].block_hashes[first:last] for name in readers]
    return len(keys[0]) == last - first and keys[0] in keys[1:]


def _requests(operations: Sequence[Operation], hasher: BlockHasher) -> dict[str, Request]:
    requests: dict[str, Request] = {}
    for operation in operations:
        match operation:
            case NewRequest(request=name):
                requests[name] = request_of(operation, hasher)
            case AppendTokens(request=name, tokens=tokens):
                requests[name].append_output_token_ids(list(tokens))
            case ContinueRequest(request=name, computed=computed):
                requests[name].num_computed_tokens = Tokens(computed)
                continue_request(requests[name], operation)
            case _:
                pass
    return requests
