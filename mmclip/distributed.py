"""The processes of a job: their numbers, their devices, what they gather from each other."""

import os
from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size

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


def gather_with_grad(rows: torch.Tensor, *, own_grad: bool = False) -> tuple[torch.Tensor, int]:
    """Rows of all processes, differentiable, and the number at which this process's own start.

    Args:
        rows: (N, ...), of the same shape in every process.
        own_grad: Only what this process asks of its own rows comes back in the backward pass, as
            in many official codes; else the sum of what all processes ask of them.

    Returns:
        (W * N, ...) in the order of ranks, and ``rank * N``; in a single process ``rows`` and 0.
    """
    if get_world_size() == 1:
        return rows, 0
    if rows.requires_grad and not own_grad:
        from torch.distributed.nn.functional import all_gather  # some builds of torch have none

        parts = all_gather(rows)
    else:
        parts = [torch.empty_like(rows) for _ in range(get_world_size())]
        dist.all_gather(parts, rows.detach().contiguous())
        parts[get_rank()] = rows
    return torch.cat(parts), get_rank() * len(rows)


def largest_sizes(sizes: Sequence[int], device: torch.device) -> list[int]:
    """The maximum of each number over all processes."""
    if get_world_size() == 1:
        return list(sizes)
    largest = torch.tensor(sizes, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest.tolist()
