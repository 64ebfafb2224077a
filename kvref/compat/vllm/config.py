"""vLLM's configuration of models and engines, of which kvref has nothing: only the names are here."""

from kvref.compat.vllm.out_of_scope import out_of_scope

CacheConfig = out_of_scope("CacheConfig")
KVEventsConfig = out_of_scope("KVEventsConfig")
ModelConfig = out_of_scope("ModelConfig")
SchedulerConfig = out_of_scope("SchedulerConfig")
VllmConfig = out_of_scope("VllmConfig")
