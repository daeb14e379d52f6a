"""Remedies for what is broken in the tested stack (``python tools/check_env.py`` looks for each).

:func:`apply` runs at ``import mmclip``. It imports no host: what concerns a host's module is done
in the moment in which that module is imported, or at once if it already is. Every remedy says its
symptom, its cause, and the version at which it can be dropped.
"""

import functools
import sys

from mmclip.compat.checkpoints import allow_mmengine_checkpoints, read_checkpoints_safely
from mmclip.compat.configs import read_own_configs_without_scope, write_configs_atomically
from mmclip.compat.data_loaders import drop_options_of_workers
from mmclip.compat.host_inferencers import keep_image_loader, keep_video_reader
from mmclip.compat.import_hook import after_import
from mmclip.compat.mmaction import MissingDRN, switch_vindlu_off
from mmclip.compat.operators import compute_in_float32, make_inputs_contiguous
from mmclip.compat.processes import cpu_model_wrapper, end_process, init_cpu_process_group

__all__ = [
    'apply',
    'cpu_model_wrapper',
    'end_process',
    'init_cpu_process_group',
    'write_configs_atomically',
]
_EXTRACTORS = 'mmdet.models.roi_heads.roi_extractors'


def apply() -> None:
    """Apply every remedy that works by import; called by ``import mmclip``."""
    allow_mmengine_checkpoints()
    read_own_configs_without_scope()
    after_import('mmengine.runner.checkpoint', read_checkpoints_safely)
    after_import('mmaction.utils.dependency', switch_vindlu_off)
    for module, name in {
        'mmdet.apis.det_inferencer': 'DetInferencer',
        'mmseg.apis.mmseg_inferencer': 'MMSegInferencer',
    }.items():
        after_import(module, functools.partial(keep_image_loader, name=name))
    after_import('mmaction.apis.inferencers.actionrecog_inferencer', keep_video_reader)
    if not any(isinstance(finder, MissingDRN) for finder in sys.meta_path):
        sys.meta_path.append(MissingDRN())
    for module, function in {
        'roi_align': 'RoIAlignFunction',
        'roi_align_rotated': 'RoIAlignRotatedFunction',
        'deform_conv': 'DeformConv2dFunction',
        'modulated_deform_conv': 'ModulatedDeformConv2dFunction',
    }.items():
        after_import(f'mmcv.ops.{module}', functools.partial(make_inputs_contiguous, name=function))
    for module, name, method in (
        ('mmcv.ops.nms', 'NMSop', 'forward'),
        ('mmdet.models.dense_heads.base_dense_head', 'BaseDenseHead', 'predict_by_feat'),
        (f'{_EXTRACTORS}.single_level_roi_extractor', 'SingleRoIExtractor', 'forward'),
        (f'{_EXTRACTORS}.generic_roi_extractor', 'GenericRoIExtractor', 'forward'),
    ):
        after_import(module, functools.partial(compute_in_float32, name=name, method=method))
    for module, name in {'runner': 'Runner', '_flexible_runner': 'FlexibleRunner'}.items():
        module = f'mmengine.runner.{module}'
        after_import(module, functools.partial(drop_options_of_workers, name=name))
