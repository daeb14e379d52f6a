"""Hooks, loops and samplers: what MMEngine lacks."""

from mmclip.engine.bind_model_hook import BindModelHook
from mmclip.engine.channels_last_hook import ChannelsLastHook
from mmclip.engine.checkpoint_check_hook import CheckpointCheckHook
from mmclip.engine.checkpoint_hook import AtomicCheckpointHook
from mmclip.engine.contrastive_batch_hook import ContrastiveBatchHook
from mmclip.engine.finite_loss_hook import FiniteLossHook
from mmclip.engine.fsdp import ShardedAmpOptimWrapper, ShardedOptimWrapper
from mmclip.engine.logit_ratio_search_hook import LogitRatioSearchHook
from mmclip.engine.parameter_table_hook import ParameterTableHook
from mmclip.engine.preemption_hook import PreemptionHook
from mmclip.engine.region_store_hook import RegionStoreHook
from mmclip.engine.resume_hook import ExactResumeHook
from mmclip.engine.view_weight_search_hook import ViewWeightSearchHook
from mmclip.engine.vocabulary_hook import VocabularyHook

__all__ = [
    'AtomicCheckpointHook',
    'ChannelsLastHook',
    'CheckpointCheckHook',
    'ContrastiveBatchHook',
    'ExactResumeHook',
    'FiniteLossHook',
    'BindModelHook',
    'LogitRatioSearchHook',
    'ParameterTableHook',
    'PreemptionHook',
    'RegionStoreHook',
    'ShardedAmpOptimWrapper',
    'ShardedOptimWrapper',
    'ViewWeightSearchHook',
    'VocabularyHook',
]
