"""A KV connector that has the first tokens of some prompts, and loses some on the way."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from vllm.distributed.kv_transfer.kv_connector.v1 import base


@dataclass(frozen=True)
class Load:
    """External tokens [start, end) of a request, and its table by group at that time."""

    name: str
    start: int
    end: int
    blocks: tuple[tuple[int, ...], ...]
    in_background: bool


@dataclass
class Store:
    """What is stored elsewhere: so many tokens of each request, by name."""

    promised: dict[str, int] = field(default_factory=dict)
    in_background: set[str] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)
    """Requests of which the connector cannot tell yet, the first time that it is asked."""
    sends: set[str] = field(default_factory=set)
    """Requests whose blocks are still sent when they have finished."""
    sending: list[str] = field(default_factory=list)
    loading: set[str] = field(default_factory=set)
    """Requests whose load is not done."""
    loads: list[Load] = field(default_factory=list)
    """Loads that were allocated for since the worker looked last."""
    asked: dict[str, int] = field(default_factory=dict)


class Remote(base.KVConnectorBase_V1, base.SupportsHMA):  # type: ignore[misc]
    """The scheduler's side of the store; a connector is made by its class, so the store is the class's."""

    store: ClassVar = Store()

    def get_num_new_matched_tokens(self, request: Any, computed: int) -> tuple[int | None, bool]:
        """How many tokens are there behind those that are cached, and whether they come later."""
        name, store = request.request_id, self.store
        if name in store.undecided:
            store.undecided.discard(name)
            return None, False
        store.asked[name] = computed
        more = min(store.promised.get(name, 0), request.num_tokens) - computed
        if more <= 0 or (name not in store.in_background and computed + more >= request.num_tokens):
            return 0, False
        return more, name in store.in_background

    def update_state_after_alloc(self, request: Any, blocks: Any, external: int) -> None:
        """Note a load."""
        name, store = request.request_id, self.store
        if external:
            start = store.asked[name]
            tables = tuple(tuple(ids) for ids in blocks.get_block_ids())
            load = Load(name, start, start + external, tables, name in store.in_background)
            if load.in_background:
                store.loading.add(name)
            store.loads.append(load)

    def build_connector_meta(self, _plan: Any) -> Any:
        """Nothing is to be told."""
        return base.KVConnectorMetadata()

    def request_finished_all_groups(self, request: Any, block_ids: Any) -> tuple[bool, None]:
        """Whether the blocks are to be kept until they are sent."""
        name, store = request.request_id, self.store
        keeps = name in store.sends and name not in store.loading and any(block_ids)
        if keeps:
            store.sending.append(name)
        return keeps, None

    def _nothing(self, *_: Any, **__: Any) -> None: ...

    start_load_kv = wait_for_layer_load = save_kv_layer = wait_for_save = _nothing
