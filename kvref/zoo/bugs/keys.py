"""What a key leaves out: two requests with other content hit one another's blocks."""

import msgspec

from kvref.operations import Configuration, Item, NewRequest
from kvref.zoo.bug import Bug, Edit


def _without_salt(configuration: Configuration, request: NewRequest) -> NewRequest:
    del configuration
    return msgspec.structs.replace(request, salt=None)


def _without_adapter(configuration: Configuration, request: NewRequest) -> NewRequest:
    del configuration
    return msgspec.structs.replace(request, lora=None)


def _without_items(configuration: Configuration, request: NewRequest) -> NewRequest:
    del configuration
    return msgspec.structs.replace(request, items=())


def _without_offsets(configuration: Configuration, request: NewRequest) -> NewRequest:
    size = configuration.hash_block_size

    def from_the_block_on(item: Item) -> Item:
        start = item.offset - item.offset % size
        return msgspec.structs.replace(item, offset=start, length=item.offset + item.length - start)

    return msgspec.structs.replace(request, items=tuple(map(from_the_block_on, request.items)))


def _without_embeddings(configuration: Configuration, request: NewRequest) -> NewRequest:
    del configuration
    if request.embeds is None:
        return request
    return msgspec.structs.replace(request, embeds=bytes(len(request.embeds)))


BUGS = (
    Bug(
        "a-key-leaves-out-the-salt",
        "HASH-4",
        "Requests with one prompt and different salts share blocks.",
        sees=_without_salt,
        origin="vllm-project/vllm#51748",
    ),
    Bug(
        "a-key-leaves-out-the-adapter",
        "HASH-4",
        "Requests with one prompt and different adapters share blocks.",
        sees=_without_adapter,
        origin="LMCache/LMCache#2961",
    ),
    Bug(
        "a-key-leaves-out-images",
        "HASH-4",
        "Requests with one text and different images share blocks.",
        sees=_without_items,
        origin="LMCache/LMCache#4086",
    ),
    Bug(
        "a-key-leaves-out-where-an-image-begins",
        "HASH-5",
        "Requests whose image begins elsewhere in its block share blocks.",
        sees=_without_offsets,
        origin="Q-61",
    ),
    Bug(
        "a-key-leaves-out-embeddings",
        "HASH-4",
        "Prompts given as different embeddings share blocks.",
        sees=_without_embeddings,
    ),
    Bug(
        "a-hash-of-four-bits",
        "HASH-1",
        "Blocks are found by a part of their hash that others share.",
        (
            Edit(
                "caching",
                "    hashes: list[bytes] = request.block_hashes  # type: ignore[assignment]\n",
                "    hashes = [bytes([h[0] & 15]) for h in request.block_hashes]\n",
            ),
            Edit(
                "caching",
                "    if is_one and not (group.thins_out or group.is_state or tells):",
                "    if False:",
            ),
            Edit(
                "lookup",
                "        names: dict[int, list[bytes]] = {1: hashes}\n",
                "        hashes = [bytes([h[0] & 15]) for h in hashes]\n        names: dict[int, list[bytes]] = {1: hashes}\n",
            ),
        ),
        origin="vllm-project/vllm#54727",
    ),
)
