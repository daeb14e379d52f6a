"""Train a model: python tools/train.py CONFIG [--resume] [--work-dir DIR] …

The options are OpenMMLab's; CONFIG is a file or a name of mmclip's configs (vild/vild_r50_lvis.py).
A run that was cut off goes on with --resume (docs/en/guides/running.md). Exit codes: 0 done,
1 error, 2 wrong options, 75 stopped by SIGTERM: start it again with --resume.
"""

import argparse
import contextlib
from pathlib import Path

from mmclip.engine import cli, find_checkpoint, preflight, sigterm, work_dir_lock


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Train a model', epilog='Guide: docs/en/guides/running.md', allow_abbrev=False
    )
    parser.add_argument('config', help="config file, or the name of one of mmclip's")
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a value from the newest one of the work dir, or '
        'from the start if there is none',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the batch size over the config's base_batch_size",
    )
    cli.add_shared_options(parser)
    return parser.parse_args()


def set_start(cfg, resume: str | None) -> None:
    """Where the run starts: anew, from ``load_from``, or where an earlier one was cut off."""
    if resume is not None and not resume.strip():
        raise ValueError('--resume: the name is empty (a variable of the shell that is not set?)')
    if resume is None and not cfg.get('resume'):
        return
    if resume in (None, 'auto'):
        own = cfg.get('load_from') if resume is None else None
        found = Path(own) if own else find_checkpoint.find(Path(cfg.work_dir))
    else:
        found = Path(resume)
    cfg.resume = found is not None
    if found is not None:
        cfg.load_from = str(found)


def hold_work_dir(cfg, stack: contextlib.ExitStack) -> None:
    """Let no other run use the work dir, and free the space of half-written checkpoints in it."""
    if work_dir_lock.is_first_process(cfg.launcher):
        stack.enter_context(work_dir_lock.held(Path(cfg.work_dir)))
        find_checkpoint.remove_partial(Path(cfg.work_dir))


def main() -> None:
    args = parse_args()
    cfg = cli.read_config(args)
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise cli.UserError(f'the config has no {key}: nothing to train')
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    cli.fit_machine(cfg)
    if args.auto_scale_lr:
        settings = cfg.get('auto_scale_lr') or {}
        if 'base_batch_size' not in settings:
            raise cli.UserError(
                '--auto-scale-lr: the config does not say for which batch size its learning rate '
                'is; add --cfg-options auto_scale_lr.base_batch_size=16'
            )
        cfg.auto_scale_lr.enable = True
    with contextlib.ExitStack() as stack:
        try:
            # A work dir that is not there yet is not made for a run that cannot start.
            there = Path(cfg.work_dir).is_dir()
            if there:
                hold_work_dir(cfg, stack)
            set_start(cfg, args.resume)
            cli.check_checkpoint(cfg, must_exist=bool(cfg.get('resume')))
            preflight.check(cfg, train=True)
            if not there:
                hold_work_dir(cfg, stack)
        except (FileNotFoundError, ValueError) as error:
            raise cli.UserError(error) from None
        cli.use_safe_hooks(cfg)
        cli.use_checkpoint_check(cfg, allow_mismatch=args.allow_mismatch)
        cli.start_processes(cfg)
        cli.build_runner(cfg).train()


def run() -> None:
    """The command, with a SIGTERM from now on leaving a consistent work dir."""
    sigterm.exit_from_now_on()
    cli.run(main)


if __name__ == '__main__':
    run()
