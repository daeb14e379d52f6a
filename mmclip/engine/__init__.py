"""Hooks, loops and samplers: what MMEngine lacks."""

from mmclip.engine.channels_last_hook import ChannelsLastHook
from mmclip.engine.checkpoint_check_hook import CheckpointCheckHook
from mmclip.engine.checkpoint_hook import AtomicCheckpointHook
from mmclip.engine.contrastive_batch_hook import ContrastiveBatchHook
from mmclip.engine.finite_loss_hook import FiniteLossHook
from mmclip.engine.pair_scorer_hook import PairScorerHook
from mmclip.engine.parameter_table_hook import ParameterTableHook
from mmclip.engine.preemption_hook import PreemptionHook
from mmclip.engine.region_store_hook import RegionStoreHook
from mmclip.engine.resume_hook import ExactResumeHook
from mmclip.engine.vocabulary_hook import VocabularyHook
from mmclip.engine.wrap_policy import ShardedAmpOptimWrapper, ShardedOptimWrapper

__all__ = [
    'AtomicCheckpointHook',
    'ChannelsLastHook',
    'CheckpointCheckHook',
    'ContrastiveBatchHook',
    'ExactResumeHook',
    'FiniteLossHook',
    'PairScorerHook',
    'ParameterTableHook',
    'PreemptionHook',
    'RegionStoreHook',
    'ShardedAmpOptimWrapper',
    'ShardedOptimWrapper',
    'VocabularyHook',
]
