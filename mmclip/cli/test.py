"""Test a model: python tools/test.py CONFIG CHECKPOINT [--out FILE] [--show-dir DIR] [--tta] …

The options are OpenMMLab's; CONFIG is a file or a name of mmclip's configs (vild/vild_r50_lvis.py).
The metrics go to WORK_DIR/<time>/<time>.json. Exit codes: 0 done, 1 error (a checkpoint of another
model is one, and leaves no metrics), 2 wrong options.
"""

import argparse
import contextlib
import inspect
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import barrier, is_main_process
from mmengine.registry import HOOKS, init_default_scope

from mmclip.engine import cli, preflight, work_dir_lock
from mmclip.evaluation.seg_map_dump import SegMapDump  # noqa: F401  registers it
from mmclip.io import atomic

VISUALIZATION = {
    'mmdet': ('mmdet.DetVisualizationHook', 'mmdet.DetLocalVisualizer'),
    'mmseg': ('mmseg.SegVisualizationHook', 'mmseg.SegLocalVisualizer'),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Test a model', epilog='Guide: docs/en/guides/running.md', allow_abbrev=False
    )
    parser.add_argument('config', help="config file, or the name of one of mmclip's")
    parser.add_argument(
        'checkpoint',
        nargs='?',
        default='none',
        help="checkpoint file; left out, or 'none', for a config that names ready-made weights",
    )
    parser.add_argument(
        '--out',
        help='write the predictions: to a .pkl file; for segmentation, a folder gets the maps',
    )
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument(
        '--show-dir',
        help="write images of the predictions to this folder (a relative one is the host's to "
        'place: mmdet puts it below WORK_DIR/<time>)',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that --show shows an image'
    )
    parser.add_argument(
        '--tta', action='store_true', help="test-time augmentation by the config's tta_* settings"
    )
    cli.add_shared_options(parser)
    return parser.parse_intermixed_args()  # the checkpoint may come behind options


def draw(cfg: Config, args: argparse.Namespace) -> None:
    """Switch the host's visualization hook on, whichever names its options have."""
    scope = cfg.get('default_scope', 'mmengine')
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    if hooks.get('visualization') is None:
        if scope not in VISUALIZATION:
            raise cli.UserError(
                f'--show, --show-dir: the config (scope {scope}) names no hook that draws; add '
                'default_hooks.visualization'
            )
        hooks.visualization = dict(type=VISUALIZATION[scope][0])
    if cfg.get('visualizer') is None and scope in VISUALIZATION:
        backends = [dict(type='LocalVisBackend')]
        cfg.visualizer = dict(
            type=VISUALIZATION[scope][1], name='visualizer', vis_backends=backends
        )
    hook = hooks.visualization
    init_default_scope(scope)
    known = inspect.signature(HOOKS.get(hook['type'])).parameters
    hook['enable' if 'enable' in known else 'draw'] = True
    hook['show'] = args.show
    if args.show and ('wait_time' in known or 'kwargs' in known):
        hook['wait_time'] = args.wait_time
    if scope != 'mmdet' and 'interval' in known:  # mmdet's hook draws every tested image
        hook['interval'] = 1
    if args.show_dir:
        place = next((name for name in ('test_out_dir', 'out_dir') if name in known), None)
        if place is None:
            cfg.visualizer['save_dir'] = args.show_dir
        else:
            hook[place] = args.show_dir


def augment(cfg: Config) -> None:
    missing = [name for name in ('tta_model', 'tta_pipeline') if cfg.get(name) is None]
    if missing:
        raise cli.UserError(
            f'--tta: the config has no {" and no ".join(missing)}; add tta_model=dict(type='
            "'DetTTAModel', …) and a tta_pipeline that ends with mmcv.TestTimeAug"
        )
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    dataset['pipeline'] = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def write_predictions(cfg: Config, out: Path) -> Path:
    """Make the metrics write their predictions aside; returns where."""
    out.parent.mkdir(parents=True, exist_ok=True)
    metrics = cfg.test_evaluator
    metrics = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    if out.suffix in ('.pkl', '.pickle'):
        aside = out.with_name(f'.{out.stem}.partial{out.suffix}')
        dump = 'mmdet.DumpDetResults' if cfg.get('default_scope') == 'mmdet' else None
        metrics.append(dict(type=dump or 'mmengine.DumpResults', out_file_path=str(aside)))
    elif cfg.get('default_scope') == 'mmseg':
        aside = out.with_name(atomic.PARTIAL.format(out.name))
        metrics.append(dict(type='mmclip.SegMapDump', output_dir=str(aside)))
    else:
        raise cli.UserError(f'--out: {out} must end with .pkl or .pickle')
    cfg.test_evaluator = metrics
    return aside


def finish_predictions(aside: Path, out: Path) -> None:
    barrier()
    if not is_main_process():
        return
    if aside.is_file():
        atomic.commit(aside, out)
        return
    out.mkdir(exist_ok=True)
    for path in sorted(aside.iterdir()):
        os.replace(path, out / path.name)
    aside.rmdir()


def main() -> None:
    args = parse_args()
    cfg = cli.read_config(args)
    cli.fit_machine(cfg)
    cfg.load_from, cfg.resume = None, False
    for key in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(key) is None:
            raise cli.UserError(f'the config has no {key}: nothing to test')
    if args.checkpoint == 'none':
        if cfg.get('needs_checkpoint', True):
            raise cli.UserError('checkpoint: this config has no weights of its own, name a file')
        args.checkpoint = None
    cfg.load_from = args.checkpoint
    try:
        cli.check_checkpoint(cfg, must_exist=True)
        preflight.check(cfg, train=False)
    except (FileNotFoundError, ValueError) as error:
        raise cli.UserError(error) from None
    cli.use_checkpoint_check(cfg, allow_mismatch=args.allow_mismatch)
    if args.show or args.show_dir:
        draw(cfg, args)
    if args.tta:
        augment(cfg)
    aside: Any = write_predictions(cfg, Path(args.out)) if args.out else None
    cli.start_processes(cfg)
    first = work_dir_lock.is_first_process(args.launcher)
    with atomic.unfinished(aside) if aside and first else contextlib.nullcontext():
        cli.build_runner(cfg).test()
        if aside:
            finish_predictions(aside, Path(args.out))


if __name__ == '__main__':
    cli.run(main)
