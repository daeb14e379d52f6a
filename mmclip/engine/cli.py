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

from mmclip import compat, config_path
from mmclip.engine import sigterm

_BFLOAT16 = 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16'
# Hooks that a config of another project lacks: with them a run that is cut off loses nothing.
SAFE_HOOKS = {
    'checkpoint': 'mmclip.AtomicCheckpointHook',
    'exact_resume': 'mmclip.ExactResumeHook',
    'preemption': 'mmclip.PreemptionHook',
    'finite_loss': 'mmclip.FiniteLossHook',
}


class UserError(Exception):
    """Told to the user without a traceback."""


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
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def read_config(args: argparse.Namespace) -> Config:
    """The config with the options of the command line in it.

    Raises:
        UserError: there is no such config, or it or an option cannot be read.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    path = Path(args.config)
    if not path.is_file():
        name = args.config.removeprefix('configs/')
        try:
            path = Path(config_path(name))
        except FileNotFoundError as error:
            raise UserError(f"no file {args.config}, and among mmclip's configs {error}") from None
    cfg = Config.fromfile(path)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', path.stem))
    return cfg


def no_scope(kind: Any) -> str:
    """The name of a ``type`` without its scope."""
    return kind.split('.')[-1] if isinstance(kind, str) else getattr(kind, '__name__', '')


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
    """MMEngine's ``Runner``, or what ``runner_type`` names."""
    compat.write_configs_atomically()
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def run(main: Callable[[], None]) -> None:
    """Call ``main``; tell errors that are the user's to mend without a traceback, and clean up."""
    status = 0
    try:
        main()
    except (UserError, FloatingPointError) as error:
        sys.stdout.flush()
        print(f'error: {error}', file=sys.stderr, flush=True)
        status = 1
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        if sigterm.received:  # e.g. of another rank, which has already left
            traceback.print_exc()
            sigterm.exit_at_once()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        raise
    compat.end_process(status)
