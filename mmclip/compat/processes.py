"""Process groups without an accelerator, and the end of a process."""

import logging
import os
import subprocess
import sys
from datetime import timedelta
from typing import NoReturn

import torch
from mmengine.device import get_device


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
