"""mmclip's registries: children of MMEngine's, scope ``mmclip``.

Every ``type`` in a config carries its scope (``mmclip.ViLDBBoxHead``, ``mmdet.Resize``). The first
look-up of a name imports the modules in ``locations``, so no ``custom_imports`` is needed.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import INFERENCERS as MMENGINE_INFERENCERS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry


def _child(parent: Registry, location: str) -> Registry:
    return Registry(parent.name, parent=parent, scope='mmclip', locations=[location])


MODELS = _child(MMENGINE_MODELS, 'mmclip.models')
TASK_UTILS = _child(MMENGINE_TASK_UTILS, 'mmclip.models')
DATASETS = _child(MMENGINE_DATASETS, 'mmclip.datasets')
DATA_SAMPLERS = _child(MMENGINE_DATA_SAMPLERS, 'mmclip.datasets')
TRANSFORMS = _child(MMENGINE_TRANSFORMS, 'mmclip.datasets.transforms')
METRICS = _child(MMENGINE_METRICS, 'mmclip.evaluation')
EVALUATORS = _child(MMENGINE_EVALUATOR, 'mmclip.evaluation')
HOOKS = _child(MMENGINE_HOOKS, 'mmclip.engine')
LOOPS = _child(MMENGINE_LOOPS, 'mmclip.engine')
OPTIM_WRAPPERS = _child(MMENGINE_OPTIM_WRAPPERS, 'mmclip.engine.bfloat16')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'mmclip.engine.param_group_rules'
)
OPTIMIZERS = _child(MMENGINE_OPTIMIZERS, 'mmclip.engine.bert_adam')
PARAM_SCHEDULERS = _child(MMENGINE_PARAM_SCHEDULERS, 'mmclip.engine.warmup_cosine')
STRATEGIES = _child(MMENGINE_STRATEGIES, 'mmclip.engine.sharding')
VISUALIZERS = _child(MMENGINE_VISUALIZERS, 'mmclip.visualization')
INFERENCERS = _child(MMENGINE_INFERENCERS, 'mmclip.apis')
