"""Which part of a job this process has, whoever started it."""

import os
from collections.abc import Mapping

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
