"""Which part of a job this process has, whoever started it, and on which device."""

import os
from collections.abc import Mapping

import torch

_ARRAY = (('MIN', 0), ('STEP', 1))


def job_place(environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(number of this process, number of all): torchrun, srun, a Slurm array, else (0, 1)."""
    if 'RANK' in environ and 'WORLD_SIZE' in environ:
        return int(environ['RANK']), int(environ['WORLD_SIZE'])
    rank, world = 0, 1
    if 'SLURM_STEP_ID' in environ and int(environ.get('SLURM_STEP_NUM_TASKS', 1)) > 1:
        rank, world = int(environ['SLURM_PROCID']), int(environ['SLURM_STEP_NUM_TASKS'])
    if 'SLURM_ARRAY_TASK_ID' in environ:
        first, step = (int(environ.get(f'SLURM_ARRAY_TASK_{k}', d)) for k, d in _ARRAY)
        task = (int(environ['SLURM_ARRAY_TASK_ID']) - first) // step
        rank += task * world
        world *= int(environ['SLURM_ARRAY_TASK_COUNT'])
    return rank, world


def job_device(name: str | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The device of this process: the one that is asked for, else its GPU, else the CPU.

    Raises:
        ValueError: there is no such device.
    """
    cuda = torch.cuda.is_available()
    if not name:
        local = int(environ.get('LOCAL_RANK', environ.get('SLURM_LOCALID', 0)))
        return f'cuda:{local % torch.cuda.device_count()}' if cuda else 'cpu'
    try:
        torch.empty(0, device=name)
    except Exception as error:  # torch has one for each kind of device
        reason = str(error).strip().splitlines()[0][:200]
        there = f'cpu and cuda:0 to {torch.cuda.device_count() - 1}' if cuda else 'cpu only'
        raise ValueError(f'device: {name!r} cannot be used ({reason}); there is {there}') from error
    return name
