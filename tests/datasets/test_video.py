"""Videos: exact frames, sampling, lists, and everything that can be wrong with a file."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmaction.evaluation import AccMetric
from mmengine import Config

from mmclip.config_path import config_path
from mmclip.datasets.transforms.video import (
    FrameResizeCrop,
    SampleSegments,
    middle_frames,
    random_frames,
)
from mmclip.datasets.video import VideoClassificationDataset, read_action_names
from mmclip.datasets.video_reader import open_video
from mmclip.registry import TRANSFORMS


def clip(path, levels, *, moments=None, options=None):
    """A video of plain gray frames, which tell their number."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10, options=options or dict(g='5', crf='10'))
        stream.height = stream.width = 32
        stream.pix_fmt = 'yuv420p'
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(
                np.zeros((32, 32, 3), np.uint8) + np.uint8(level), format='rgb24'
            )
            frame.pts = number if moments is None else moments[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


LEVELS = list(range(10, 250, 8))  # 30 frames


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('videos')


@pytest.fixture(scope='module')
def video(folder):
    return clip(folder / 'plain.mp4', LEVELS)


def levels(frames):
    return [float(frame.mean()) for frame in frames]


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_frames_by_number(video, backend):
    with open_video(video, backend) as reader:
        assert reader.num_frames == len(LEVELS)
        for numbers in ([0], [29], [7, 3, 3, 28], list(range(30)), [14, 15]):
            frames = reader.read(numbers)
            assert frames[0].shape == (32, 32, 3)
            assert levels(frames) == pytest.approx([LEVELS[n] for n in numbers], abs=3)
        with pytest.raises(ValueError, match='30 frames'):
            reader.read([30])


def test_b_frames_and_a_variable_frame_rate(folder):
    moments = np.cumsum([0] + [1 + 3 * (n % 4) for n in range(29)]).tolist()
    path = clip(folder / 'vfr.mp4', LEVELS, moments=moments, options=dict(g='12', bf='3'))
    with open_video(path) as reader:
        assert reader.num_frames == 30
        numbers = [2, 9, 17, 29]
        assert levels(reader.read(numbers)) == pytest.approx([LEVELS[n] for n in numbers], abs=3)


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_what_cannot_be_read_names_the_file(video, folder, backend):
    with pytest.raises(FileNotFoundError, match='nowhere.mp4'):
        open_video(folder / 'nowhere.mp4', backend)
    (folder / 'cut.mp4').write_bytes(video.read_bytes()[:300])
    (folder / 'empty.mp4').write_bytes(b'')
    (folder / 'text.mp4').write_text('no video ' * 100)
    for name in ('cut.mp4', 'empty.mp4', 'text.mp4'):
        with pytest.raises(ValueError, match=name):
            open_video(folder / name, backend)
    with pytest.raises(ValueError, match='backend'):
        open_video(video, 'opencv')


def test_a_video_of_zero_length(folder):
    path = folder / 'zero.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height = stream.width = 32
        stream.pix_fmt = 'yuv420p'
        container.start_encoding()
    with pytest.raises(ValueError, match='zero.mp4'):
        open_video(path)


def test_of_a_video_that_breaks_off_the_rest_stands_for_the_lost_frames(folder):
    path = folder / 'head_first.mp4'
    with av.open(str(path), 'w', options={'movflags': 'faststart'}) as container:
        stream = container.add_stream('libx264', rate=10, options=dict(g='5', crf='10'))
        stream.height = stream.width = 32
        stream.pix_fmt = 'yuv420p'
        for level in LEVELS:
            frame = np.full((32, 32, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    data = path.read_bytes()
    start = data.index(b'mdat')
    (folder / 'half.mp4').write_bytes(data[: start + (len(data) - start) * 2 // 3])
    with open_video(folder / 'half.mp4') as reader:
        count = reader.num_frames
        assert 5 < count <= 30
        frames = reader.read(list(range(count)))
        assert levels(frames)[:5] == pytest.approx(LEVELS[:5], abs=3)
        assert np.isfinite(levels(frames)).all()


def test_sampling():
    assert middle_frames(80, 8).tolist() == [4, 14, 24, 34, 44, 54, 64, 74]
    assert middle_frames(3, 8).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert middle_frames(9, 1).tolist() == [4]
    views = [middle_frames(80, 8, view=view, views=2) for view in (0, 1)]
    assert [int(v[0]) for v in views] == [2, 6]
    random = np.random.RandomState(0)
    drawn = np.stack([random_frames(80, 8, random) for _ in range(200)])
    for segment in range(8):
        assert set(drawn[:, segment]) == set(range(10 * segment, 10 * segment + 10))
    short = random_frames(3, 8, random)
    assert set(short) == {0, 1, 2} and (np.diff(short) >= 0).all() and len(short) == 8


def test_sampling_transform():
    step = SampleSegments(test_mode=True)
    out = step(dict(total_frames=80, num_segments=8, num_views=2, start_index=1))
    assert out['num_clips'] == 16 and out['frame_inds'][:2].tolist() == [3, 13]
    with pytest.raises(ValueError, match='neither'):
        step(dict(total_frames=80))
    with pytest.raises(ValueError, match='x.mp4 has 0 frames'):
        step(dict(total_frames=0, num_segments=8, filename='x.mp4'))
    with pytest.raises(ValueError, match='test_mode'):
        SampleSegments(num_segments=8, num_views=2)(dict(total_frames=80))
    with pytest.raises(ValueError, match='num_segments: 0'):
        SampleSegments(num_segments=0)


def test_resize_keeps_the_short_side_and_the_center():
    frame = np.zeros((40, 80, 3), np.uint8)
    frame[:, 30:50] = 255
    out = FrameResizeCrop(size=10, short_side=20)(dict(imgs=[frame]))
    assert out['imgs'][0].shape == (10, 10, 3) and out['imgs'][0][:, 1:9].min() > 200
    assert FrameResizeCrop(size=None, short_side=20)(dict(imgs=[frame]))['img_shape'] == (20, 40)
    with pytest.raises(ValueError, match='size: 30'):
        FrameResizeCrop(size=30, short_side=20)


def test_frames_can_be_written_to_and_repeats_are_their_own(video):
    frame = np.zeros((40, 80, 3), np.uint8)
    for config in (
        dict(type='mmclip.FrameResize', size=10),
        dict(type='mmclip.FrameResizeCrop', size=10),
        dict(type='mmclip.FrameResizeCrop', size=None, short_side=20),
    ):
        assert TRANSFORMS.build(config)(dict(imgs=[frame]))['imgs'][0].flags.writeable
    for backend in ('pyav', 'decord'):
        data = dict(video_reader=open_video(video, backend), frame_inds=np.array([3, 3, 5, 3]))
        frames = TRANSFORMS.build(dict(type='mmclip.DecodeFrames'))(data)['imgs']
        frames[0][:] = 0
        assert levels(frames)[1:] == pytest.approx([LEVELS[3], LEVELS[5], LEVELS[3]], abs=3)


def base_video_pipelines():
    folder = Path(config_path('_base_/datasets/kinetics400_video.py')).parent
    paths = sorted(folder.glob('*_video.py'))
    assert len(paths) > 4
    return [pytest.param(path, id=path.stem) for path in paths]


@pytest.mark.parametrize('path', base_video_pipelines())
def test_clips_pass_every_training_pipeline_and_are_flipped_once(path, tmp_path):
    steps = Config.fromfile(path).train_dataloader.dataset.pipeline
    for step in steps:
        if step['type'] == 'mmaction.Flip':
            step['flip_ratio'] = 1.0
    # Dark on the left, and so short that frames are repeated.
    half = np.repeat(np.array([0, 255], np.uint8), 16)[None, :, None]
    path = clip(tmp_path / 'short.mp4', [half] * 3)
    flips = any(step['type'] == 'mmaction.Flip' for step in steps)
    steps = [step for step in steps if 'RandAugment' not in step['type']]
    pipeline = [TRANSFORMS.build(step) for step in steps]
    for _ in range(3):
        data = dict(filename=str(path), num_segments=8, start_index=0, modality='RGB', label=0)
        for step in pipeline:
            data = step(data)
        frames = data['inputs'].float().mean((1, 2))  # (T, W)
        assert len(frames) == 8
        left, right = frames[:, :8].mean(1), frames[:, -8:].mean(1)
        assert ((left > right) if flips else (left < right)).all()


@pytest.mark.parametrize('per_clip', [False, True])
def test_augmentation_keeps_shape_and_kind(per_clip):
    frames = [np.full((20, 24, 3), level, np.uint8) for level in (50, 100, 150)]
    for config in (
        dict(type='mmclip.FrameRandAugment', per_clip=per_clip),
        dict(type='mmclip.FrameColor', prob=1.0, gray_prob=1.0, per_clip=per_clip),
        dict(type='mmclip.FrameRandAugment', num_ops=0),
    ):
        out = TRANSFORMS.build(config)(dict(imgs=list(frames)))['imgs']
        assert [f.shape for f in out] == [(20, 24, 3)] * 3 and out[0].dtype == np.uint8
    # Equal frames stay equal only if the factors are drawn once.
    torch.manual_seed(0)
    step = TRANSFORMS.build(
        dict(type='mmclip.FrameColor', prob=1.0, gray_prob=0.0, per_clip=per_clip)
    )
    out = step(dict(imgs=[frames[1]] * 3))['imgs']
    assert np.array_equal(out[0], out[1]) == per_clip


PIPELINE = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleSegments', test_mode=True),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=16),
    dict(type='mmaction.FormatShape', input_format='NCHW'),
    dict(type='mmaction.PackActionInputs', meta_keys=('filename', 'split')),
]


@pytest.fixture
def root(tmp_path, video):
    (tmp_path / 'clips').mkdir()
    for name in ('a.mp4', 'b c.mp4'):
        shutil.copy(video, tmp_path / 'clips' / name)
    (tmp_path / 'list.txt').write_text('a.mp4 1\nb c.mp4 0\n')
    (tmp_path / 'labels.csv').write_text('id,name\n0,ApplyEyeMakeup\n1,brush_hair\n')
    content = dict(names=['run', 'jump'], splits=dict(run='base', jump='novel'))
    (tmp_path / 'classes.json').write_text(json.dumps(content))
    return tmp_path


def make(root, **kwargs):
    settings = dict(
        ann_file='list.txt', data_root=str(root), data_prefix=dict(video='clips'),
        classes='classes.json', num_segments=4, pipeline=PIPELINE,
    )  # fmt: skip
    return VideoClassificationDataset(**{**settings, **kwargs})


def test_a_list_through_the_pipeline(root):
    dataset = make(root, splits_file='classes.json', test_mode=True, check_files=True)
    assert dataset.metainfo['classes'] == ('run', 'jump')
    sample = dataset[1]
    assert sample['inputs'].shape == (4, 3, 16, 16)
    middles = [LEVELS[n] for n in (3, 10, 18, 25)]
    assert sample['inputs'].float().mean((1, 2, 3)).tolist() == pytest.approx(middles, abs=4)
    assert int(sample['data_samples'].gt_label) == 0 and sample['data_samples'].split == 'base'
    assert len(make(root, splits_file='classes.json', keep_splits=['novel'])) == 1


def test_frames_and_several_labels(root):
    (root / 'frames.txt').write_text('some/folder 120 1\n')
    info = make(root, ann_file='frames.txt', frames=True).get_data_info(0)
    assert info['frame_dir'].endswith('clips/some/folder') and info['total_frames'] == 120
    assert info['start_index'] == 1 and info['filename_tmpl'].format(7) == 'img_00007.jpg'
    (root / 'many.txt').write_text('a.mp4 1 0\nb.mp4 1\na.mp4\n')
    dataset = make(root, ann_file='many.txt', multi_label=True)
    assert dataset.get_data_info(0)['label'].tolist() == [1, 1]
    assert dataset[0]['data_samples'].gt_label.tolist() == [1, 1]
    assert dataset.get_data_info(1)['label'].tolist() == [0, 1]
    assert dataset[2]['data_samples'].gt_label.tolist() == [0, 0]  # without an action
    metric = AccMetric(metric_list='mean_average_precision', metric_options={})
    for i, scores in ((0, [0.9, 0.8]), (2, [0.1, 0.9])):
        sample = dataset[i]['data_samples'].set_pred_score(scores)
        metric.process({}, [sample.to_dict()])
    # The empty video stands above the other one in class 1: a precision of one half.
    assert metric.compute_metrics(metric.results)['mean_average_precision'] == 0.75
    (root / 'many.txt').write_text('some/folder 120\nother\n')
    with pytest.raises(ValueError, match="line 2: expected 'path frames label label ...'"):
        make(root, ann_file='many.txt', multi_label=True, frames=True)


def test_names(root):
    assert read_action_names('labels.csv', root) == ('ApplyEyeMakeup', 'brush_hair')
    assert read_action_names('labels.csv', root, split_words=True) == (
        'apply eye makeup', 'brush hair',
    )  # fmt: skip
    assert read_action_names(['TaiChi', 'YoYo', 'BMXRace'], split_words=True)[2] == 'bmx race'
    (root / 'names.txt').write_text('one\n\ntwo\n')
    assert read_action_names('names.txt', root) == ('one', 'two')
    (root / 'bad.csv').write_text('id,name\n1,a\n')
    with pytest.raises(ValueError, match='must be 0, 1, 2'):
        read_action_names('bad.csv', root)
    (root / 'worse.csv').write_text('a,b\n1,2\n')
    with pytest.raises(ValueError, match='id,name'):
        read_action_names('worse.csv', root)
    with pytest.raises(FileNotFoundError, match='make_mini_world'):
        read_action_names('none.csv', root)


def test_bad_lists(root):
    with pytest.raises(FileNotFoundError, match='ann_file'):
        make(root, ann_file='none.txt')
    for text, message in (
        ('a.mp4\n', 'line 1'),
        ('a.mp4 1\na.mp4 x\n', 'line 2'),
        ('a.mp4 2\n', 'label 2'),
        ('\n', 'no line'),
    ):
        (root / 'bad.txt').write_text(text)
        with pytest.raises(ValueError, match=message):
            make(root, ann_file='bad.txt')
    (root / 'bad.txt').write_text('a.mp4 1\ngone.mp4 1\n')
    with pytest.raises(FileNotFoundError, match='1 of 2 videos'):
        make(root, ann_file='bad.txt', check_files=True)
    with pytest.raises(FileNotFoundError, match='splits_file'):
        make(root, splits_file='none.json')


def test_broken_videos_are_errors_unless_training_may_skip_them(root):
    (root / 'clips' / 'broken.mp4').write_bytes(b'nothing')
    (root / 'some.txt').write_text('broken.mp4 1\na.mp4 0\n')
    with pytest.raises(ValueError, match='broken.mp4'):
        make(root, ann_file='some.txt')[0]
    dataset = make(root, ann_file='some.txt', skip_broken=True)
    assert int(dataset[0]['data_samples'].gt_label) == 0
    with pytest.raises(ValueError, match='broken.mp4'):
        make(root, ann_file='some.txt', skip_broken=True, test_mode=True)[0]
