"""The options of tools/train.py and tools/test.py, and what they say when something is wrong."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_runs import ROOT, checkpoint, run, write_config

DATA = """\
train_dataloader['dataset'] = dict(type='mmdet.CocoDataset', data_root={root!r},
    ann_file='annotations/train.json', data_prefix=dict(img='train/'), pipeline=[])
"""


def tree(folder: Path) -> set[str]:
    logs = set(folder.glob('tmp*.log*'))
    return {str(p.relative_to(folder)) for p in folder.rglob('*') if p not in logs}


def fails_before_writing(folder: Path, *arguments: object, code: int = 1) -> str:
    before = tree(folder)
    output = run(*arguments, cwd=folder, code=code)
    assert tree(folder) == before
    assert 'Traceback' not in output
    return output


@pytest.mark.parametrize(
    'root, missing, help',
    [
        (
            'data/mini_world/detection/',
            'data/mini_world/detection/annotations/train.json',
            'python tools/make_mini_world.py --out data/mini_world',
        ),
        (
            'data/lvis_v1/',
            'data/lvis_v1/annotations/train.json',
            'docs/en/datasets.md#lvis-v1',
        ),
        # Not in the table: the page's section that speaks of the folder.
        (
            '/elsewhere/data/coco20i/',
            '/elsewhere/data/coco20i/annotations/train.json',
            'docs/en/datasets.md#pascal-5i-coco-20i-fss-1000',
        ),
    ],
)
def test_missing_data_are_named_with_what_brings_them(root, missing, help, tmp_path):
    config = write_config(tmp_path, more=DATA.format(root=root))
    output = fails_before_writing(tmp_path, 'tools/train.py', config)
    first, last = output.strip().splitlines()[-2:]
    assert first.startswith(f'error: {missing} does not exist')
    assert 'train_dataloader.dataset.ann_file' in first
    assert last.startswith('how to get it: ') and help in last


def test_the_folder_of_the_images_and_own_help(tmp_path):
    (tmp_path / 'mine' / 'annotations').mkdir(parents=True)
    (tmp_path / 'mine' / 'annotations' / 'train.json').write_text('{}')
    more = DATA.format(root='mine/') + "data_help = {'mine': 'ask Ada for the disk'}\n"
    config = write_config(tmp_path, more=more)
    output = fails_before_writing(tmp_path, 'tools/train.py', config)
    assert 'error: mine/train does not exist' in output
    assert output.strip().endswith('how to get it: ask Ada for the disk')


@pytest.mark.parametrize(
    'more, expected',
    [
        ("load_from = 'a/b.pth'\n", 'a/b.pth does not exist (load_from'),
        (
            "model['init_cfg'] = dict(type='Pretrained', checkpoint='c/d.pth')\n",
            'c/d.pth does not exist (model.init_cfg.checkpoint',
        ),
        (
            "model['head'] = dict(classes='lvis_v1', vocabulary_file='v/lvis.safetensors',\n"
            "    text_encoder=dict(model='ViT-B-32', pretrained='openai'))\n",
            'python tools/build_vocabulary.py --vocabulary lvis_v1 --model ViT-B-32 '
            '--pretrained openai --out v/lvis.safetensors',
        ),
        (
            "load_from = 'work_dirs/vild_text_r18_mini/last.pth'\n",
            'how to get it: python tools/train.py vild/mini/vild_text_r18_mini.py',
        ),
        ("val_evaluator['ann_file'] = 'e/val.json'\n", 'e/val.json does not exist (val_evaluator'),
        (
            "train_dataloader['dataset']['shards'] = 's/{00..03}.tar'\n",
            's/00.tar does not exist (train_dataloader.dataset.shards',
        ),
    ],
)
def test_other_files_that_a_config_names(more, expected, tmp_path):
    config = write_config(tmp_path, more=more)
    assert expected in fails_before_writing(tmp_path, 'tools/train.py', config)


def test_remote_files_are_not_looked_for(tmp_path):
    from mmengine import Config

    from mmclip.engine import preflight

    more = DATA.format(root='s3://bucket/coco/')
    more += "model['init_cfg'] = dict(type='Pretrained', checkpoint='torchvision://resnet50')\n"
    preflight.check(Config.fromfile(write_config(tmp_path, more=more)), train=True)


@pytest.mark.slow
def test_the_main_config_says_within_20_seconds_how_to_get_lvis(tmp_path):
    begin = time.monotonic()
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools/train.py'), 'vild/vild_r50_lvis.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert time.monotonic() - begin < 60, 'on an idle machine it takes 5 seconds'
    assert result.returncode == 1
    first, last = result.stderr.strip().splitlines()[-2:]
    assert 'data/lvis_v1/annotations/lvis_v1_train.json does not exist' in first
    assert 'docs/en/datasets.md#lvis-v1' in last
    assert tree(tmp_path) == set()


def test_float16_on_a_cpu_is_refused_and_bfloat16_trains(tmp_path):
    config = write_config(tmp_path)
    if torch.cuda.is_available():
        pytest.skip('there is an accelerator')
    output = fails_before_writing(tmp_path, 'tools/train.py', config, '--amp')
    options = 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16'
    assert f'--cfg-options {options}' in output
    more = [*options.split(), 'train_cfg.max_iters=5']
    run('tools/train.py', config, '--work-dir', 'a', '--cfg-options', *more, cwd=tmp_path)
    run('tools/train.py', config, '--work-dir', 'b', '--cfg-options', more[-1], cwd=tmp_path)
    ours, plain = (checkpoint(tmp_path / d / 'last.pth')['state_dict'] for d in 'ab')
    assert not torch.equal(ours['head.weight'], plain['head.weight'])
    torch.testing.assert_close(ours['head.weight'], plain['head.weight'], atol=0.02, rtol=0.1)


def test_options_that_do_not_exist_and_configs_that_do_not(tmp_path):
    config = write_config(tmp_path)
    output = fails_before_writing(tmp_path, 'tools/train.py', config, '--resum', code=2)
    assert 'unrecognized arguments: --resum' in output
    output = fails_before_writing(tmp_path, 'tools/train.py', 'vild/vild_r50_lviss.py')
    assert 'did you mean vild/vild_r50_lvis.py' in output


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(tmp_path):
    config = write_config(tmp_path, more="model['nan_at'] = 10\n")
    output = run('tools/train.py', config, '--work-dir', 'a', cwd=tmp_path, code=1)
    last = output.strip().splitlines()[-1]
    assert last.startswith('error: loss_size is nan at iteration 10; the newest checkpoint is ')
    assert 'a/iter_5.pth' in last
    assert os.readlink(tmp_path / 'a/last.pth') == 'iter_5.pth'


def test_weights_that_are_not_numbers_are_not_saved(tmp_path):
    config = write_config(tmp_path, more="optim_wrapper['optimizer']['lr'] = float('inf')\n")
    more = 'train_cfg.max_iters=1'
    output = run('tools/train.py', config, '--cfg-options', more, cwd=tmp_path, code=1)
    assert 'is not finite, no checkpoint is written; there is no checkpoint yet' in output
    assert not list(tmp_path.rglob('*.pth'))


def test_a_damaged_checkpoint_is_named_with_the_previous_one(tmp_path):
    config = write_config(tmp_path)
    run('tools/train.py', config, '--work-dir', 'a', cwd=tmp_path)
    whole = (tmp_path / 'a/iter_20.pth').read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b''):
        (tmp_path / 'a/iter_20.pth').write_bytes(damaged)
        args = ('tools/train.py', config, '--work-dir', 'a', '--resume')
        output = fails_before_writing(tmp_path, *args)
        assert 'a/iter_20.pth is damaged' in output
        last = output.strip().splitlines()[-1]
        assert last.startswith('go on from the previous one: --resume ')
        assert last.endswith('/a/iter_15.pth')
    output = fails_before_writing(tmp_path, 'tools/test.py', config, 'a/iter_20.pth')
    assert 'a/iter_20.pth is damaged' in output
    run(*args, 'a/iter_15.pth', cwd=tmp_path)
    assert checkpoint(tmp_path / 'a/iter_20.pth')['meta']['iter'] == 20


def test_resume_without_a_checkpoint_starts_and_an_emptied_record_is_no_harm(tmp_path):
    config = write_config(tmp_path)
    short = ('--cfg-options', 'train_cfg.max_iters=5')
    run('tools/train.py', config, '--work-dir', 'a', '--resume', *short, cwd=tmp_path)
    (tmp_path / 'a').rename(tmp_path / 'b')  # last_checkpoint names the old place
    output = run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path)
    assert 'resumed epoch: 0, iter: 5' in output
    (tmp_path / 'b/last_checkpoint').write_text('')
    output = run('tools/train.py', config, '--work-dir', 'b', '--resume', cwd=tmp_path)
    assert 'resumed epoch: 0, iter: 20' in output


def test_auto_scale_lr_and_the_parameter_table(tmp_path):
    config = write_config(tmp_path)
    short = ('--cfg-options', 'train_cfg.max_iters=1')
    output = run('tools/train.py', config, '--auto-scale-lr', *short, cwd=tmp_path)
    assert 'Scaling the original LR by 0.5' in output
    assert (tmp_path / 'work_dirs/toy_config/last.pth').exists()
    rows = [line.split() for line in output.splitlines()]
    assert ['head', '9', '0'] in rows and ['frozen', '0', '6'] in rows
    assert ['total', '65', '6'] in rows
    config = write_config(tmp_path, more='auto_scale_lr = None\n')
    output = fails_before_writing(tmp_path, 'tools/train.py', config, '--auto-scale-lr')
    assert 'auto_scale_lr.base_batch_size' in output


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    config = write_config(folder)
    short = ('--cfg-options', 'train_cfg.max_iters=5')
    run('tools/train.py', config, '--work-dir', 'a', *short, cwd=folder)
    return folder, config


def test_test_writes_metrics_and_predictions(trained):
    folder, config = trained
    args = ('tools/test.py', config, 'a/last.pth', '--work-dir', 'metrics', '--out', 'new/p.pkl')
    run(*args, cwd=folder)
    metrics = json.loads(next(folder.glob('metrics/*/*.json')).read_text())
    predictions = pickle.loads((folder / 'new/p.pkl').read_bytes())
    assert len(predictions) == 9
    assert metrics['acc'] == pytest.approx(-sum(map(float, predictions)) / 9, rel=1e-6)
    assert not list(folder.rglob('.*partial*'))


@pytest.mark.parametrize(
    'options, expected',
    [
        (['--tta'], 'the config has no tta_model and no tta_pipeline'),
        (['--show-dir', 'images'], 'names no hook that draws'),
        (['--out', 'p.json'], 'must end with .pkl'),
    ],
)
def test_options_of_test_that_the_config_cannot_serve(options, expected, trained):
    folder, config = trained
    output = fails_before_writing(folder, 'tools/test.py', config, 'a/last.pth', *options)
    assert expected in output


def test_a_missing_checkpoint(trained):
    folder, config = trained
    output = fails_before_writing(folder, 'tools/test.py', config, 'a/iter_6.pth')
    assert 'the checkpoint a/iter_6.pth does not exist' in output


@pytest.mark.slow
def test_dist_train_passes_the_exit_code_on_and_the_signal_down(tmp_path):
    config = write_config(tmp_path, more="model['sleep'] = 0.3\n")
    env = {**os.environ, 'PORT': '29617', 'OMP_NUM_THREADS': '1'}
    env['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{env["PATH"]}'
    script = str(ROOT / 'tools/dist_train.sh')
    with open(tmp_path / 'log', 'w') as log:
        process = subprocess.Popen(
            ['bash', script, config, '2', '--work-dir', 'a'],
            cwd=tmp_path,
            env=env,
            stdout=log,
            stderr=log,
        )
        end = time.monotonic() + 100
        while not list(tmp_path.glob('a/order_1.txt')) and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 75, (tmp_path / 'log').read_text()[-4000:]
    assert 1 <= checkpoint(tmp_path / 'a/last.pth')['meta']['iter'] < 20


def test_dist_train_that_is_stopped_before_a_process_has_started(tmp_path):
    torchrun = tmp_path / 'torchrun'
    torchrun.write_text('#!/bin/sh\ntouch started\nexec sleep 60\n')
    torchrun.chmod(0o755)
    process = subprocess.Popen(
        ['bash', str(ROOT / 'tools/dist_train.sh'), 'config.py', '2'],
        cwd=tmp_path,
        env={**os.environ, 'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'},
    )
    end = time.monotonic() + 60
    while not (tmp_path / 'started').exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75


def test_a_test_that_fails_leaves_no_predictions(trained, tmp_path):
    folder, config = trained
    broken = tmp_path / 'config.py'
    broken.write_text(
        f'_base_ = {str(config)!r}\n'
        'def _fill():\n'
        '    from mmengine.evaluator import metric\n'
        '    def dump(results, path):\n'
        "        open(path, 'w').write('half')\n"
        "        raise OSError(28, 'No space left on device', path)\n"
        '    metric.dump = dump\n'
        '_fill()\n'
        'del _fill\n'
    )
    args = ('tools/test.py', broken, folder / 'a/last.pth', '--out', 'o.pkl', '--work-dir', 't')
    output = run(*args, cwd=tmp_path, code=1)
    assert 'No space left on device' in output
    assert not list(tmp_path.glob('*.pkl')) and not list(tmp_path.glob('.*'))


def test_maps_of_many_classes_are_written_whole(tmp_path):
    import cv2

    from mmclip.evaluation.seg_map_dump import SegMapDump

    for classes, lift in ((256, 0), (256, 1), (385, 0)):
        labels = torch.tensor([[[0, 1], [254, classes - 1]]])
        writer = SegMapDump(output_dir=str(tmp_path / 'maps'))
        writer.dataset_meta = dict(classes=['x'] * classes)
        sample = dict(img_path='a/b.jpg', pred_sem_seg=dict(data=labels), reduce_zero_label=lift)
        writer.process(None, [sample])
        read = cv2.imread(str(tmp_path / 'maps/b.png'), cv2.IMREAD_UNCHANGED)
        assert (read == labels[0].numpy() + lift).all()
        assert read.dtype.itemsize == (1 if classes + lift <= 256 else 2)


def test_checkpoints_that_are_none(trained):
    folder, config = trained
    (folder / 'text.pth').write_text('hello')
    os.mkfifo(folder / 'pipe.pth')
    for name, message in (
        ('', 'checkpoint: the name is empty'),
        ('a', 'the checkpoint a is a folder; name a file in it'),
        ('pipe.pth', 'the checkpoint pipe.pth is a pipe, socket or device'),
        ('text.pth', 'text.pth'),
    ):
        output = run('tools/test.py', config, name, '--work-dir', 'none', cwd=folder, code=1)
        assert output.strip().splitlines()[-1].startswith('error: ') and message in output
        assert 'Traceback' not in output and not list(folder.glob('none/*/*.json'))
        if name != 'a':
            start = ('--work-dir', 'none', '--cfg-options', f'load_from={name!r}')
            output = run('tools/train.py', config, *start, cwd=folder, code=1)
            assert message in output and 'Traceback' not in output


def test_a_checkpoint_of_another_model_gives_no_metrics_unless_it_is_meant(trained):
    folder, config = trained
    content = checkpoint(folder / 'a/last.pth')
    content['state_dict']['rpn.weight'] = content['state_dict'].pop('head.weight')
    torch.save(content, folder / 'other.pth')
    args = ('tools/test.py', config, 'other.pth', '--work-dir', 'other')
    output = run(*args, cwd=folder, code=1)
    assert 'error: other.pth does not fit the model: it lacks 1 weight (head: 1)' in output
    assert 'Traceback' not in output and not list(folder.glob('other/*/*.json'))
    output = run(*args, '--allow-mismatch', cwd=folder)
    assert 'other.pth does not fit the model' in output and list(folder.glob('other/*/*.json'))


@pytest.mark.parametrize(
    'more, arguments, message',
    [
        ('train_dataloader = None\n', (), 'the config has no train_dataloader: nothing to train'),
        ('', ('--launcher', 'pytorch'), 'needs the environment variables RANK, WORLD_SIZE'),
        ('', ('--work-dir', 'toy_config.py/a'), 'Not a directory; a file is where a folder is'),
        ('', ('--cfg-options', 'val_dataloader.size.x=1'), 'error: '),
        ("model['type'] = 'NoModel'\n", (), 'in the config: NoModel is not in the'),
        ('model = None\n', (), 'has no model'),
        ('a = b\n', (), 'toy_config.py, line'),
        ('val_cfg = None\n', (), 'should be either all None or not None'),
    ],
)
def test_mistakes_of_the_user_are_one_sentence(more, arguments, message, tmp_path):
    config = write_config(tmp_path, more=more)
    output = run('tools/train.py', config, *arguments, cwd=tmp_path, code=1)
    assert output.strip().splitlines()[-1].startswith('error: ') and message in output
    assert 'Traceback' not in output
