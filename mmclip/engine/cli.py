"""What tools/train.py and tools/test.py share: options, config, runner, and how they end."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmclip import compat, config_file
from mmclip.engine import find_checkpoint, sigterm
from mmclip.user_errors import UserError, explain

_BFLOAT16 = 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16'
# Hooks that a config of another project lacks: with them a run that is cut off loses nothing, and
# is told what it may not see.
SAFE_HOOKS = {
    'checkpoint': 'mmclip.AtomicCheckpointHook',
    'checkpoint_check': 'mmclip.CheckpointCheckHook',
    'exact_resume': 'mmclip.ExactResumeHook',
    'preemption': 'mmclip.PreemptionHook',
    'finite_loss': 'mmclip.FiniteLossHook',
    'contrastive_batch': 'mmclip.ContrastiveBatchHook',
}


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--work-dir', help='where logs and results go: work_dirs/<config> if left out'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value, e.g. train_cfg.max_iters=10 '
        'key="[a,b]" key="[(a,b),(c,d)]" (no blanks)',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who started the processes; pytorch for torchrun',
    )
    parser.add_argument(
        '--allow-mismatch',
        action='store_true',
        help='go on with a checkpoint that lacks weights of the model or has others',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def read_config(args: argparse.Namespace) -> Config:
    """The config with the options of the command line in it.

    Raises:
        UserError: there is no such config, or it or an option cannot be read.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        path = config_file.find_config(args.config)
        cfg = config_file.read_config(path)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(error) from error
    try:
        cfg.merge_from_dict(args.cfg_options or {})
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise UserError(f'--cfg-options: {" ".join(str(error).split())}') from error
    if not isinstance(cfg.get('model'), dict):
        raise UserError(f'{path} has no model: it is no config of a run, or one for _base_ only')
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', path.stem))
    return cfg


def no_scope(kind: Any) -> str:
    """The name of a ``type`` without its scope."""
    return kind.split('.')[-1] if isinstance(kind, str) else getattr(kind, '__name__', '')


def check_checkpoint(cfg: Config, *, must_exist: bool) -> None:
    """Look at the file that ``load_from`` names before anything is built.

    Args:
        cfg: The run's config.
        must_exist: Else a missing file is left to :func:`mmclip.engine.preflight.check`, which
            says where it comes from.

    Raises:
        FileNotFoundError, ValueError: it is missing or damaged, or no file at all.
    """
    name = cfg.get('load_from')
    if name is None:
        return
    if not str(name).strip():
        raise ValueError('checkpoint: the name is empty (a variable of the shell that is not set?)')
    if ':' in str(name):  # a URL, torchvision://…, open-mmlab:…
        return
    path = Path(name).expanduser()
    folders = cfg.get('strategy') is not None  # of shards, one for each process
    if path.is_dir() and not folders:
        raise ValueError(f'the checkpoint {name} is a folder; name a file in it')
    if not path.exists() and not must_exist:
        return
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f'the checkpoint {name} is a pipe, socket or device, not a file')
    try:
        find_checkpoint.check(path)
    except ValueError as error:
        told = str(error) if cfg.get('resume') else str(error).split('\n')[0]
        raise ValueError(told) from None  # the rest says from what else to resume


def use_checkpoint_check(cfg: Config, *, allow_mismatch: bool) -> None:
    """Compare checkpoints with the model also under a config of another project."""
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    if 'checkpoint_check' not in hooks:
        hooks['checkpoint_check'] = dict(type=SAFE_HOOKS['checkpoint_check'])
    if allow_mismatch and hooks['checkpoint_check'] is not None:
        hooks['checkpoint_check']['allow_mismatch'] = True


def use_safe_hooks(cfg: Config) -> None:
    """Add the hooks of :data:`SAFE_HOOKS`, and put ours where MMEngine's ``CheckpointHook`` is.

    A hook that a config sets to None, or of another class, is left alone.
    """
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    for name, kind in SAFE_HOOKS.items():
        if name not in hooks:
            hooks[name] = dict(type=kind, **(dict(interval=1) if name == 'checkpoint' else {}))
        elif name == 'checkpoint' and no_scope((hooks[name] or {}).get('type')) == 'CheckpointHook':
            hooks[name]['type'] = kind


def fit_machine(cfg: Config) -> None:
    """Make precision, process group and model wrappers fit what is there.

    Raises:
        UserError: float16 on a CPU.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    if get_device() == 'cpu' and no_scope(wrapper.get('type')) == 'AmpOptimWrapper':
        if wrapper.get('dtype') not in ('bfloat16', torch.bfloat16):
            raise UserError(
                'mixed precision with float16 needs an accelerator, and there is none. On a CPU '
                f'use bfloat16 instead: --cfg-options {_BFLOAT16}'
            )
        cfg.optim_wrapper.type = 'mmclip.BFloat16OptimWrapper'
        for name in ('dtype', 'loss_scale', 'use_fsdp'):
            cfg.optim_wrapper.pop(name, None)


def start_processes(cfg: Config) -> None:
    """Join the process group where MMEngine cannot, and take what works on current torch."""
    if cfg.launcher != 'none':
        timeout = (cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout')
        compat.init_cpu_process_group(cfg.launcher, timeout=timeout)
        compat.cpu_model_wrapper(cfg)
    if no_scope((cfg.get('strategy') or {}).get('type')) == 'FSDPStrategy':
        cfg.strategy.type = 'mmclip.FSDPStrategy'


def build_runner(cfg: Config) -> Any:
    """MMEngine's ``Runner``, or what ``runner_type`` names.

    Raises:
        UserError: settings that contradict each other.
    """
    compat.write_configs_atomically()
    try:
        return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    except ValueError as error:
        raise UserError(' '.join(str(error).split())) from error


def run(main: Callable[[], None]) -> None:
    """Call ``main``; tell errors that are the user's to mend without a traceback, and clean up."""
    status = 0
    try:
        main()
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:
        if sigterm.received:  # e.g. of another rank, which has already left
            traceback.print_exc()
            sigterm.exit_at_once()
        told = explain(error)
        if told is None:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            raise
        sys.stdout.flush()
        print(f'error: {told}', file=sys.stderr, flush=True)
        status = 1
    compat.end_process(status)
