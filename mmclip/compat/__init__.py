"""Remedies for what is broken in the tested stack (``python tools/check_env.py`` looks for each).

:func:`apply` runs at ``import mmclip``. It imports no host: what concerns a host's module is done
in the moment in which that module is imported, or at once if it already is. Every remedy says its
symptom, its cause, and the version at which it can be dropped.
"""

import functools
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import urlparse

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import HistoryBuffer

from mmclip.compat.host_inferencers import keep_image_loader, keep_video_reader
from mmclip.compat.import_hook import after_import
from mmclip.io.atomic import atomic_file
from mmclip.io.tensor_builders import ONE_CYCLE, Array, Kind, new_array, new_number
from mmclip.io.unpickle import Stub

_DRN = 'mmaction.models.localizers.drn'
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
    if not any(isinstance(finder, _MissingDRN) for finder in sys.meta_path):
        sys.meta_path.append(_MissingDRN())
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


_ONE_CYCLE = Stub(ONE_CYCLE)


def _attribute(owner: Any, name: str) -> Callable:
    """``getattr`` as far as MMEngine's checkpoints need it: six functions, by name."""
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    if owner is _ONE_CYCLE and name in ('_annealing_cos', '_annealing_linear'):
        from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

        return getattr(OneCycleParamScheduler, name)
    raise pickle.UnpicklingError(f'the attribute {name!r} of a {type(owner).__name__}: refused')


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read MMEngine's checkpoints with ``weights_only`` on.

    MMEngine itself reads them with :func:`read_checkpoints_safely`; this is for others.

    Symptom: ``UnpicklingError: Weights only load failed`` from ``torch.load``.
    Cause: torch >= 2.6 refuses classes it does not know, and MMEngine 0.10.7 stores its
    ``HistoryBuffer``, NumPy arrays and numbers, and methods of two classes by ``getattr``.
    Drop it when MMEngine allows them itself.

    Nothing that a file names is more than it must be. ``getattr`` gives those methods and nothing
    else, a class that only owns such methods is a stub, and NumPy's functions (under the names of
    NumPy 1 and 2, whichever wrote the file) are checked stand-ins: with NumPy's own, a hostile file
    corrupts memory.
    """
    unnamed = '\n'  # no pickle can name this: what is made here may get its state, no more
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_attribute, 'builtins.getattr'),
            (_ONE_CYCLE, _ONE_CYCLE.path),
            (Kind, 'numpy.dtype'),
            (Array, unnamed),
            (Stub('numpy.ndarray'), 'numpy.ndarray'),
            *((new_array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((new_number, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )


def read_own_configs_without_scope() -> None:
    """Make ``_base_ = 'mmclip::...'`` give the very config that the path gives.

    Symptom: ``BboxOverlaps2D is not in the mmclip registry`` while a config inherited by the prefix
    builds, and an unscoped ``Resize`` of one's own leaf that silently becomes MMCV's.
    Cause: MMEngine writes ``_scope_='mmclip'`` into the outer dicts of such a config, and no
    registry of a host lies below mmclip's. Every ``type`` of our configs carries its scope, so the
    stamp has no use. Other packages' prefixes keep theirs.
    Drop it when MMEngine lets a package say that its configs need no scope.
    """
    find = Config._get_cfg_path
    if hasattr(find, '__wrapped__'):
        return

    @functools.wraps(find)
    def find_without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == 'mmclip' else scope

    Config._get_cfg_path = staticmethod(find_without_scope)


def read_checkpoints_safely(module: ModuleType) -> None:
    """Let MMEngine read files and downloads with :mod:`mmclip.io.checkpoint`, as mmclip does.

    Symptom: ``UnpicklingError`` from ``load_from='weights.safetensors'``, or for a checkpoint of
    somebody who has registered a statistic of a ``HistoryBuffer``; gigabytes of memory for a small
    hostile file; ``load_from='https://...'`` executes what the file says.
    Cause: MMEngine 0.10.7 reads every file with ``torch.load``, downloads without ``weights_only``.
    Drop it when MMEngine knows safetensors and torch bounds what a file may unfold into.
    """

    def load_from_local(filename: str, map_location: Any = None) -> dict:
        from mmclip.io.checkpoint import read_training_checkpoint

        device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
        return read_training_checkpoint(os.path.expanduser(filename), device)

    def load_url(
        url: str,
        model_dir: str | None = None,
        map_location: Any = None,
        progress: bool = True,
        check_hash: bool = False,
        file_name: str | None = None,
    ) -> dict:
        folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
        path = folder / (file_name or Path(urlparse(url).path).name)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            digest = torch.hub.HASH_REGEX.search(path.name) if check_hash else None
            prefix = digest and digest.group(1)
            torch.hub.download_url_to_file(url, str(path), prefix, progress=progress)
        return load_from_local(str(path), map_location)

    module.CheckpointLoader.register_scheme('', loader=load_from_local, force=True)
    module.load_from_local, module.load_url = load_from_local, load_url


def switch_vindlu_off(module: ModuleType) -> None:
    """Switch mmaction's optional VindLU off with transformers >= 5.

    Symptom: ``cannot import name 'apply_chunking_to_forward'`` on ``import mmaction.models``.
    Cause: transformers 5 moved it; mmaction2 1.2.0 asks only for transformers >= 4.28.
    Drop it with the first mmaction2 after 1.2.0 that imports under transformers 5.
    """
    try:
        transformers = version('transformers')
    except PackageNotFoundError:
        return
    if int(transformers.split('.')[0]) >= 5:
        module.WITH_MULTIMODAL = False


class _MissingDRN(MetaPathFinder, Loader):
    """Supplies the sub-package that mmaction2's release lacks; asked only if nobody has it.

    Symptom: ``No module named 'mmaction.models.localizers.drn'`` on ``import mmaction.models``.
    Cause: the wheel of mmaction2 1.2.0 was built without that folder.
    Drop it with the first mmaction2 after 1.2.0.
    """

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in (_DRN, f'{_DRN}.drn'):
            return None
        return spec_from_loader(name, self, origin=__file__, is_package=name == _DRN)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _DRN:
            return
        from mmaction.registry import MODELS

        @MODELS.register_module()
        class DRN:
            """Says where the real one is."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise ImportError(
                    'DRN is not in the release of mmaction2 1.2.0; install mmaction2 from its '
                    'repository to use it'
                )

        module.DRN = DRN


def make_inputs_contiguous(module: ModuleType, name: str) -> None:
    """Give an operator of MMCV its tensors in the memory layout that it takes for granted.

    Symptom: none, but wrong values, e.g. a RoI head that stays at chance, for a channels_last
    feature map (or strided RoIs); only ``deform_conv2d`` says ``input must be contiguous``.
    Cause: MMCV 2.1.0's kernels index the data as contiguous NCHW without looking at the strides.
    Drop it when MMCV checks or copies; tests/test_compat.py compares the layouts.

    Args:
        module: The operator's module.
        name: Its ``torch.autograd.Function`` there.
    """
    function = getattr(module, name)
    forward = function.forward
    if hasattr(forward, '__wrapped__'):
        return

    @functools.wraps(forward)
    def contiguous_forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        args = [a.contiguous() if isinstance(a, torch.Tensor) else a for a in args]
        kwargs = {
            k: a.contiguous() if isinstance(a, torch.Tensor) else a for k, a in kwargs.items()
        }
        return forward(ctx, *args, **kwargs)

    function.forward = staticmethod(contiguous_forward)


def compute_in_float32(module: ModuleType, name: str, method: str) -> None:
    """Let a part of a detector that is about boxes take what mixed precision gives it.

    Symptom: ``expected scalar type Float but found BFloat16`` in proposals or RoI features.
    Cause: MMCV 2.1.0 has no RoIAlign and no NMS for bfloat16, nor for float16 on a CPU. MMDetection
    gives anchors and boxes the type of the maps: in bfloat16, those beyond 512 lie 4 pixels apart,
    so it is not enough to mend the operators.
    Drop it when MMCV has the kernels and MMDetection leaves anchors and boxes in float32.

    Args:
        module: The part's module.
        name: Its class there.
        method: What gets the tensors.
    """
    kind = getattr(module, name)
    function = getattr(kind, method)
    if hasattr(function, '__wrapped__'):
        return

    def widened(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            half_on_cpu = value.dtype == torch.float16 and value.device.type == 'cpu'
            return value.float() if half_on_cpu or value.dtype == torch.bfloat16 else value
        return [widened(part) for part in value] if isinstance(value, list | tuple) else value

    @functools.wraps(function)
    def in_float32(*args: Any, **kwargs: Any) -> Any:
        kwargs = {key: widened(value) for key, value in kwargs.items()}
        return function(*map(widened, args), **kwargs)

    static = isinstance(kind.__dict__[method], staticmethod)
    setattr(kind, method, staticmethod(in_float32) if static else in_float32)


# What torch's DataLoader takes with worker processes only.
_OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')


def drop_options_of_workers(module: ModuleType, name: str) -> None:
    """Make ``num_workers=0`` alone enough to load data without worker processes.

    Symptom: ``persistent_workers option needs num_workers > 0`` where a config sets both and only
    the number is changed, as one does to debug or to save memory.
    Cause: torch refuses options of workers that are not there.
    Drop it when torch or MMEngine leaves them out.

    Args:
        module: The runner's module.
        name: Its class there.
    """
    runner = getattr(module, name)
    build = runner.build_dataloader
    if hasattr(build, '__wrapped__'):
        return

    @functools.wraps(build)
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            dataloader = {k: v for k, v in dataloader.items() if k not in _OF_WORKERS}
        return build(dataloader, *args, **kwargs)

    runner.build_dataloader = staticmethod(build_dataloader)


def write_configs_atomically() -> None:
    """Make ``Config.dump`` atomic.

    Symptom: an empty config in the work dir after a full disk or a SIGTERM while a run starts.
    Cause: ``Config.dump`` opens the file and then formats the text for seconds.
    Drop it when MMEngine writes to a temporary name.
    """
    if hasattr(Config.dump, '__wrapped__'):
        return
    plain = Config.dump

    @functools.wraps(plain)
    def dump(self: Config, file: str | Path | None = None) -> str | None:
        if file is None:
            return plain(self)
        with atomic_file(file, keep_suffix=True) as partial:
            plain(self, partial)

    Config.dump = dump


def end_process(status: int = 0) -> NoReturn:
    """End a process; one of a gloo group without tearing its interpreter down.

    Symptom: about one time in ten a process that is done says ``terminate called without an active
    exception`` and torchrun reports a failure.
    Cause: gloo's threads are still there when the interpreter of one of several processes goes.
    Drop it when a process group destroyed by ``destroy_process_group`` leaves no thread behind.

    Args:
        status: The exit code.
    """
    by_gloo = torch.distributed.is_initialized() and torch.distributed.get_backend() == 'gloo'
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if by_gloo:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def init_cpu_process_group(launcher: str, *, timeout: float | None = None) -> bool:
    """Start the process group with gloo when the machine has no accelerator.

    Call it before the Runner is built, which leaves an existing group alone.

    Symptom: ``--launcher pytorch`` on a machine without a GPU ends with ``Found no NVIDIA driver``.
    Cause: MMEngine's ``init_dist`` calls ``torch.cuda.set_device`` whatever the backend.
    Drop it when MMEngine (0.10.7 is the last release) starts on CPUs itself.

    Args:
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``, as ``--launcher``.
        timeout: Of collective operations, in seconds (``env_cfg.dist_cfg.timeout``).

    Returns:
        Whether the group was started here; not with an accelerator, nor twice.
    """
    if launcher == 'none' or torch.distributed.is_initialized():
        return False
    if launcher == 'slurm':
        names = {
            'RANK': 'SLURM_PROCID',
            'WORLD_SIZE': 'SLURM_NTASKS',
            'LOCAL_RANK': 'SLURM_LOCALID',
        }
    elif launcher == 'mpi':
        prefix = 'OMPI_COMM_WORLD_'
        names = {name: prefix + name for name in ('RANK', 'LOCAL_RANK')}
        names['WORLD_SIZE'] = f'{prefix}SIZE'
    elif launcher == 'pytorch':
        names = {name: name for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')}
    else:
        raise ValueError(f'launcher: {launcher!r}; allowed are none, pytorch, slurm and mpi')
    missing = sorted(source for source in names.values() if source not in os.environ)
    if missing:
        raise ValueError(
            f'launcher: {launcher!r} needs the environment variables {", ".join(missing)}; start '
            'with tools/dist_train.sh (pytorch), tools/slurm_train.sh (slurm) or mpirun (mpi)'
        )
    if get_device() != 'cpu':
        return False
    os.environ.update({name: os.environ[source] for name, source in names.items()})
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        hosts = subprocess.run(
            ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']],
            check=True,
            capture_output=True,
            text=True,
        )
        os.environ['MASTER_ADDR'] = hosts.stdout.split()[0]
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    torch.distributed.init_process_group(
        'gloo', timeout=None if timeout is None else timedelta(seconds=timeout)
    )
    return True


def cpu_model_wrapper(cfg: dict) -> None:
    """Make a config's model wrapper fit a machine without an accelerator; changes ``cfg``.

    Call it when ``--launcher`` is not ``none``. Sets ``device_ids=None`` for the wrapper that the
    config names, or that the Runner would make (``broadcast_buffers=False`` and the config's
    ``find_unused_parameters``), and ``device_id='cpu'`` for the one of ``FSDPStrategy``. What the
    config says itself, and machines with an accelerator, are left alone.

    Symptom: ``DistributedDataParallel device_ids ... only work with single-device``.
    Cause: MMEngine passes ``device_ids=[LOCAL_RANK]`` also for a model on the CPU.
    Drop it when MMEngine passes none there.

    Args:
        cfg: The run's config, for ``Runner`` or ``FlexibleRunner``.
    """
    if get_device() != 'cpu':
        return
    from mmengine.model import wrappers  # noqa: F401  registers them
    from mmengine.registry import MODEL_WRAPPERS

    holder, key = cfg, 'model_wrapper_cfg'
    default = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    if cfg.get('runner_type') == 'FlexibleRunner':
        if cfg.get('strategy') is None:
            cfg['strategy'] = dict(type='DDPStrategy')
        holder, key = cfg['strategy'], 'model_wrapper'
        if holder['type'] == 'FSDPStrategy':
            default = dict(type='MMFullyShardedDataParallel')
        elif holder['type'] != 'DDPStrategy':
            return
    wrapper = dict(holder.get(key) or default)
    wrapper.setdefault('type', default['type'])
    kind = wrapper['type']
    kind = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if kind is None:
        return  # unknown names are the Runner's to report
    if issubclass(kind, torch.nn.parallel.DistributedDataParallel):
        wrapper.setdefault('device_ids', None)
    elif holder is not cfg:
        wrapper.setdefault('device_id', 'cpu')
    holder[key] = wrapper
