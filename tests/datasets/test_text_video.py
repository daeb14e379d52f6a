"""Text-video data: sampling by the second, every dataset's files, and what can be wrong."""

import json
import pickle
from pathlib import Path

import av
import numpy as np
import pytest

from mmclip.datasets.text_video import VideoFolder
from mmclip.datasets.transforms.text_video import cut_frames, frames_by_second
from mmclip.registry import DATASETS, TRANSFORMS

LEVELS = list(range(10, 250, 8))  # 30 frames at 10 per second


def clip(path, levels=LEVELS, *, rate=10, moments=None):
    """A video of plain gray frames, which tell their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate, options=dict(g='5', crf='10'))
        stream.height = stream.width = 32
        stream.pix_fmt = 'yuv420p'
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), level, np.uint8), format='rgb24'
            )
            frame.pts = number if moments is None else moments[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


PIPELINE = [
    dict(type='mmclip.OpenVideo'),
    dict(type='mmclip.SampleBySecond', per_second=1, max_frames=4),
    dict(type='mmclip.DecodeFrames'),
    dict(type='mmclip.FrameResizeCrop', size=16),
    dict(type='mmclip.PackTextVideo'),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('text_video')
    for name in ('video0.mp4', 'deep/video1.webm', 'v2.mp4', 'a_b_00.01.02-00.03.04.avi'):
        path = folder / 'videos' / name
        clip(path.with_suffix('.mp4')).rename(path)
    (folder / 'videos' / 'broken.mp4').write_bytes(b'')
    return folder


def build(kind, root, **kwargs):
    return DATASETS.build(
        dict(type=f'mmclip.{kind}', data_root=str(root), pipeline=PIPELINE) | kwargs
    )


def texts_of(data):
    return [(row['video_id'], row['texts']) for row in map(data.get_data_info, range(len(data)))]


# -- sampling --------------------------------------------------------------------------------------


def test_a_frame_of_each_second_by_hand():
    assert frames_by_second(95, 29.97).tolist() == [0, 29, 58, 87]  # the rate is cut to 29
    assert frames_by_second(95, 30, 2).tolist() == [0, 15, 30, 45, 60, 75, 90]
    assert frames_by_second(300, 30, start=2, end=4).tolist() == [60, 90, 120]
    assert frames_by_second(5, 0.5).tolist() == [0, 1, 2, 3, 4]  # slower than a frame a second
    assert frames_by_second(3, 2, 0).tolist() == [0, 1, 2]
    assert frames_by_second(3, 2, 9).tolist() == [0, 1, 2]  # more asked for than there is
    assert frames_by_second(10, 10, start=5, end=9).tolist() == []


def test_cuts():
    assert cut_frames(3, 5).tolist() == [0, 1, 2]
    assert cut_frames(10, 4).tolist() == [0, 3, 6, 9]
    assert cut_frames(10, 4, 'head').tolist() == [0, 1, 2, 3]
    assert cut_frames(10, 4, 'tail').tolist() == [6, 7, 8, 9]


def levels(frames):
    return [float(frame.mean()) for frame in frames]


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_pipeline_reads_the_frames_it_chose(root, backend):
    data = dict(filename=str(root / 'videos' / 'video0.mp4'), texts=['x'])
    pipeline = [dict(PIPELINE[0], backend=backend), *PIPELINE[1:]]
    for step in pipeline:
        data = TRANSFORMS.build(step)(data)
    assert data['inputs'].shape == (3, 3, 16, 16)  # three seconds
    assert levels(data['inputs'].float()) == pytest.approx([LEVELS[n] for n in (0, 10, 20)], abs=3)
    assert data['data_samples'].texts == ['x']
    assert data['data_samples'].filename.endswith('video0.mp4')


def test_orders_and_bad_settings(root):
    def numbers(**kwargs):
        data = dict(filename=str(root / 'videos' / 'video0.mp4'))
        data = TRANSFORMS.build(dict(type='mmclip.OpenVideo'))(data)
        sample = TRANSFORMS.build(dict(type='mmclip.SampleBySecond', per_second=0, **kwargs))
        found = sample(data)
        data['video_reader'].close()
        return found['frame_inds'].tolist()

    assert numbers(max_frames=3, order='reverse') == [29, 14, 0]
    np.random.seed(0)
    shuffled = numbers(max_frames=30, order='shuffle')
    assert sorted(shuffled) == list(range(30)) != shuffled
    for bad in (dict(cut='middle'), dict(order='back'), dict(max_frames=0), dict(per_second=-1)):
        with pytest.raises(ValueError, match='allowed|none of'):
            TRANSFORMS.build(dict(type='mmclip.SampleBySecond', **bad))


def test_a_variable_frame_rate_is_sampled_over_the_whole_video(tmp_path):
    # Ten frames in the first second, twenty more over nine: three frames a second on average.
    moments = [*range(10), *(10 + int(4.5 * n) for n in range(1, 21))]
    path = clip(tmp_path / 'vfr.mp4', moments=moments)
    data = dict(filename=str(path), texts=['x'])
    for step in PIPELINE[:2]:
        data = TRANSFORMS.build(step)(data)
    data['video_reader'].close()
    numbers = data['frame_inds']
    assert len(numbers) == 4 and numbers[0] == 0 and numbers[-1] >= 26


def test_the_seconds_of_a_variable_frame_rate_are_those_of_its_frames(tmp_path):
    # Twenty frames in the first two seconds, then one a second: two and a half a second on average.
    path = clip(tmp_path / 'vfr.mp4', moments=[*range(20), *range(20, 120, 10)])

    def numbers(start=None, end=None, per_second=1):
        data = dict(filename=str(path), start=start, end=end)
        settings = dict(type='mmclip.SampleBySecond', per_second=per_second, max_frames=99)
        for step in (PIPELINE[0], settings):
            data = TRANSFORMS.build(step)(data)
        data['video_reader'].close()
        return data['frame_inds'].tolist()

    assert numbers() == [0, 10, *range(20, 30)]
    assert numbers(1, 4) == [10, 20, 21, 22]
    assert numbers(1, 3, per_second=2) == [10, 15, 20, 21]  # no frame twice
    assert numbers(1, 3, per_second=0) == [*range(10, 20), 20, 21]
    assert numbers(10, 40) == [28, 29]
    with pytest.raises(ValueError, match='second 50 to 60'):
        numbers(50, 60)


def test_a_video_shorter_than_the_frames_asked_for(tmp_path):
    path = clip(tmp_path / 'short.mp4', LEVELS[:3])
    data = dict(filename=str(path), texts=['x'])
    for step in PIPELINE:
        data = TRANSFORMS.build(step)(data)
    assert data['inputs'].shape == (1, 3, 16, 16)


# -- datasets -------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def msrvtt(root):
    videos = [dict(video_id=f'video{i}', split=s) for i, s in enumerate(('train', 'test', 'train'))]
    sentences = [
        dict(video_id=f'video{i % 2}', caption=f'sentence {i}', sen_id=i) for i in range(5)
    ]
    (root / 'MSRVTT_data.json').write_text(json.dumps(dict(videos=videos, sentences=sentences)))
    (root / 'train.csv').write_text('video_id\nvideo1\nvideo0\n')
    (root / 'test.csv').write_text(
        'key,vid_key,video_id,sentence\nret0,msr0,video1,"a cat, and a dog"\n'
    )
    return root


def test_msrvtt(msrvtt):
    train = build('MSRVTT', msrvtt, ann_file='MSRVTT_data.json', video_list='train.csv')
    assert texts_of(train) == [
        ('video1', ['sentence 1']), ('video1', ['sentence 3']), ('video0', ['sentence 0']),
        ('video0', ['sentence 2']), ('video0', ['sentence 4']),
    ]  # fmt: skip
    test = build(
        'MSRVTT', msrvtt, ann_file='MSRVTT_data.json', video_list='test.csv', test_mode=True
    )
    assert texts_of(test) == [('video1', ['a cat, and a dog'])]
    assert test[0]['inputs'].shape == (3, 3, 16, 16)
    split = build('MSRVTT', msrvtt, ann_file='MSRVTT_data.json', split='test', test_mode=True)
    assert texts_of(split) == [('video1', ['sentence 1', 'sentence 3'])]
    few = build(
        'MSRVTT', msrvtt, ann_file='MSRVTT_data.json', split='test', max_texts=1, test_mode=True
    )
    assert texts_of(few) == [('video1', ['sentence 1'])]


def test_one_sentence_at_random_per_video(msrvtt):
    data = build(
        'MSRVTT', msrvtt, ann_file='MSRVTT_data.json', video_list='train.csv', expand=False
    )
    assert len(data) == 2
    np.random.seed(0)
    drawn = {data.get_data_info(1)['texts'][0] for _ in range(60)}
    assert drawn == {'sentence 0', 'sentence 2', 'sentence 4'}
    assert all(len(data.get_data_info(i)['texts']) == 1 for i in (0, 1))


def test_msvd_reads_its_pickle(root):
    captions = dict(video0=[['a', 'cat'], ['one', 'cat']], v2=[['a', 'dog']], other=[['x']])
    (root / 'raw-captions.pkl').write_bytes(pickle.dumps(captions, protocol=2))
    (root / 'test_list.txt').write_text('v2\nvideo0\n\n')
    data = build(
        'MSVD', root, ann_file='raw-captions.pkl', video_list='test_list.txt', test_mode=True
    )
    assert texts_of(data) == [('v2', ['a dog']), ('video0', ['a cat', 'one cat'])]
    with pytest.raises(ValueError, match='video_list'):
        build('MSVD', root, ann_file='raw-captions.pkl')


def test_lsmdc_joins_lines_of_a_clip(root):
    name = 'a_b_00.01.02-00.03.04'
    line = '{}\t00.01.02\t00.03.04\t00.01.02\t00.03.04\t{}\n'
    text = line.format(name, 'SOMEONE walks.') + line.format('video0', 'He sits.')
    (root / 'lsmdc.csv').write_text(text + line.format(name, 'SOMEONE runs.'))
    data = build('LSMDC', root, ann_file='lsmdc.csv', test_mode=True)
    assert texts_of(data) == [(name, ['SOMEONE walks.', 'SOMEONE runs.']), ('video0', ['He sits.'])]
    assert len(build('LSMDC', root, ann_file='lsmdc.csv')) == 3
    (root / 'bad.csv').write_text('video0\tonly two\n')
    with pytest.raises(ValueError, match='line 1 has 2 fields'):
        build('LSMDC', root, ann_file='bad.csv')


def test_activitynet_and_didemo_are_paragraphs(root):
    captions = dict(
        v_video0=dict(duration=2.4, timestamps=[[0, 1], [1, 2]], sentences=['A man.', ' He runs.']),
        v_v2=dict(duration=9, timestamps=[[0, 1]], sentences=['A dog.']),
    )
    (root / 'train.json').write_text(json.dumps(captions))
    (root / 'train_ids.json').write_text(json.dumps(['v_v2', 'v_video0', 'v_nothing', 'v_v2']))
    data = build('ActivityNetCaptions', root, ann_file='train.json', video_list='train_ids.json')
    assert texts_of(data) == [('v_v2', ['A dog.']), ('v_video0', ['A man. He runs.'])]
    row = data.get_data_info(1)
    assert (row['start'], row['end']) == (0, 3) and row['filename'].endswith('video0.mp4')
    rows = [
        dict(video='video0.mov', description='a cat', times=[[0, 0]]),
        dict(video='v2.mp4', description='a dog', times=[[0, 0]]),
        dict(video='video0.mov', description='it runs', times=[[1, 1]]),
    ]
    (root / 'val_data.json').write_text(json.dumps(rows))
    (root / 'val_list.txt').write_text('video0.mov\n')
    data = build('DiDeMo', root, ann_file='val_data.json', video_list='val_list.txt')
    assert texts_of(data) == [('video0.mov', ['a cat it runs'])]
    row = data.get_data_info(0)
    assert (row['start'], row['end']) == (0, 31) and row['filename'].endswith('video0.mp4')
    assert len(build('DiDeMo', root, ann_file='val_data.json')) == 2


def test_howto100m_joins_short_lines(root):
    spoken = dict(
        video0=dict(start=[0, 2.5, 4], end=[2, 4, 12], text=['cut the', 'onion', 'and fry it']),
        v2=dict(start=[0], end=[5], text=['hello']),
    )
    (root / 'raw_caption.json').write_text(json.dumps(spoken))
    (root / 'HowTo100M_v1.csv').write_text(
        'video_id,category_1,category_2,rank,task_id\nvideo0,Food and Entertaining,Meat,1,2\n'
        'v2,Cars,Wheels,1,3\n'
    )
    data = build(
        'HowTo100M', root, ann_file='raw_caption.json', video_list='HowTo100M_v1.csv',
        categories=['Food and Entertaining'], min_seconds=3,
    )  # fmt: skip
    rows = [data.get_data_info(i) for i in range(len(data))]
    assert [(r['texts'], r['start'], r['end']) for r in rows] == [
        (['cut the onion'], 0, 4), (['and fry it'], 4, 12),
    ]  # fmt: skip
    assert len(build('HowTo100M', root, ann_file='raw_caption.json')) == 4
    with pytest.raises(ValueError, match='categories'):
        build('HowTo100M', root, ann_file='raw_caption.json', categories=['Cars'])


def test_ones_own_videos(root):
    (root / 'own.json').write_text(json.dumps({'video0.mp4': ['a', 'b'], 'deep/video1.webm': 'c'}))
    data = build('VideoCaptions', root, ann_file='own.json', test_mode=True)
    assert texts_of(data) == [('video0.mp4', ['a', 'b']), ('deep/video1.webm', ['c'])]
    rows = [dict(video='video0', text='a', start=1, end=2), dict(video='v2', texts=['b', 'c'])]
    (root / 'own.jsonl').write_text('\n'.join(map(json.dumps, rows)) + '\n')
    data = build('VideoCaptions', root, ann_file='own.jsonl', test_mode=True)
    assert texts_of(data) == [('video0', ['a']), ('v2', ['b', 'c'])]
    assert data[0]['inputs'].shape[0] == 2  # seconds 1 and 2
    (root / 'bad.jsonl').write_text('{"video": "v2"}\n')
    with pytest.raises(ValueError, match='line 1'):
        build('VideoCaptions', root, ann_file='bad.jsonl')


def test_files_beside_a_video_are_none(tmp_path):
    for name in (
        'a.jpg', 'a.description', 'a.mp4.part', 'a.webm', 'a.webp', 'b.info.json', 'c.json', 'c.TS',
        'd.avi.jpg', 'd.avi', 'odd.gif',
    ):  # fmt: skip
        (tmp_path / name).write_bytes(b'')
    folder = VideoFolder(tmp_path)

    def found(name):
        path = folder.find(name)
        return path and Path(path).name

    assert [found(name) for name in ('a', 'a.mp4', 'v_a', 'c')] == ['a.webm'] * 3 + ['c.TS']
    assert found('b') is None and found('d') == 'd.avi' and found('odd') is None
    assert found('odd.gif') == 'odd.gif'  # who names a file means it


def test_a_folder_in_a_name_is_meant(tmp_path):
    for name in ('a/1.mp4', 'b/1.webm', 'b/deep/2.mp4'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    folder = VideoFolder(tmp_path)
    wanted = {
        'a/1.mp4': 'a/1.mp4', 'b/1.mp4': 'b/1.webm', './b/1': 'b/1.webm', '1': 'a/1.mp4',
        str(tmp_path / 'b' / '1.mp4'): 'b/1.webm', '2.mp4': 'b/deep/2.mp4',
        'b/deep/v_2': 'b/deep/2.mp4', 'c/1.mp4': None, 'a/2.mp4': None,
    }  # fmt: skip
    for name, file in wanted.items():
        assert folder.find(name) == (file and str(tmp_path / file)), name


# -- what can be wrong -----------------------------------------------------------------------------


def own(root, name, content, **kwargs):
    (root / f'{name}.json').write_text(json.dumps(content))
    return build('VideoCaptions', root, ann_file=f'{name}.json', **kwargs)


def test_missing_files_are_named(root):
    with pytest.raises(FileNotFoundError, match=r'nothing\.json'):
        build('VideoCaptions', root, ann_file='nothing.json')
    with pytest.raises(FileNotFoundError, match='e.g. nowhere'):
        own(root, 'missing', {'nowhere': ['a'], 'video0': ['b']})
    data = own(root, 'missing', {'nowhere': ['a'], 'video0': ['b']}, missing='drop')
    assert texts_of(data) == [('video0', ['b'])]
    with pytest.raises(ValueError, match='leaves no video'):
        own(root, 'missing', {'nowhere': ['a']}, missing='drop')


def test_bad_annotations(root):
    with pytest.raises(ValueError, match="no sentence of 'video0'"):
        own(root, 'mute', {'video0': [' ']})
    (root / 'damaged.json').write_text('{"video0": ')
    with pytest.raises(ValueError, match=r'damaged\.json: is no json'):
        build('VideoCaptions', root, ann_file='damaged.json')
    for content in (5, [1], {'video0': 5}, {'video0': [5]}, {'video0': None}, {'video0': {'a': 1}}):
        with pytest.raises(ValueError, match=r'ann_file: .*odd\.json'):
            own(root, 'odd', content)
    rows = (
        'null', '[', '[' * 100000, '{"video": 5, "text": "a"}', '{"video": "video0", "text": 5}',
        '{"video": "video0", "text": "a", "start": "x", "end": 2}',
        '{"video": "video0", "text": "a", "start": NaN, "end": 2}',
        '{"video": "video0", "text": "a", "start": 1}',
        '{"video": "video0", "texts": "abc"}',
    )  # fmt: skip
    for row in rows:
        (root / 'odd.jsonl').write_text(row)
        with pytest.raises(ValueError, match=r'ann_file: .*odd\.jsonl'):
            build('VideoCaptions', root, ann_file='odd.jsonl')
    for bad in (dict(missing='skip'), dict(max_texts=0)):
        with pytest.raises(ValueError, match='missing|max_texts'):
            own(root, 'some', {'video0': ['a']}, **bad)
    (root / 'some.csv').write_text('name\nvideo0\n')
    (root / 'empty.json').write_text(json.dumps(dict(videos=[], sentences=[])))
    with pytest.raises(ValueError, match="'video_id'"):
        build('MSRVTT', root, ann_file='empty.json', video_list='some.csv')
    (root / 'some.csv').write_text('video_id\nvideo0\n')
    with pytest.raises(ValueError, match="no sentence of 'video0'"):
        build('MSRVTT', root, ann_file='empty.json', video_list='some.csv')
    with pytest.raises(ValueError, match='either a split'):
        build('MSRVTT', root, ann_file='empty.json')


@pytest.mark.parametrize('kept', [0, 300])  # of zero length, and cut off
def test_a_broken_video_is_skipped_in_training_and_empty_or_an_error_in_tests(root, kept):
    whole = (root / 'videos' / 'video0.mp4').read_bytes()
    (root / 'videos' / 'broken.mp4').write_bytes(whole[:kept])
    content = {'broken': ['a'], 'video0': ['b']}
    data = own(root, 'half', content, skip_broken=True)
    assert data[0]['data_samples'].texts == ['b']  # another one
    with pytest.raises(ValueError, match=r'broken\.mp4'):
        own(root, 'half', content)[0]
    with pytest.raises(ValueError, match=r'broken\.mp4'):
        own(root, 'half', content, test_mode=True, skip_broken=True)[0]
    empty = own(root, 'half', content, test_mode=True, allow_empty=True)[0]
    assert empty['inputs'].shape == (0, 3, 1, 1)
    assert empty['data_samples'].texts == ['a']


def test_a_part_beyond_the_end_is_broken(root):
    (root / 'late.jsonl').write_text(json.dumps(dict(video='video0', text='a', start=50, end=60)))
    with pytest.raises(ValueError, match='from second 50 to 60'):
        build('VideoCaptions', root, ann_file='late.jsonl')[0]


def test_a_record_of_another_type_is_named(root):
    (root / 'list.csv').write_text('video_id\nvideo0\n')
    for name, kind, content, message in (
        ('VideoCaptions', 'jsonl', {'video': 5, 'text': 'a'}, 'line 1: video: expected a text'),
        ('VideoCaptions', 'json', {'video0': ['a', 5]}, r"'video0': \[1\]: expected a text"),
        ('ActivityNetCaptions', 'json', {'v_v2': {'duration': 9}}, "'v_v2': lacks .*'sentences'"),
        ('DiDeMo', 'json', [{'video': 'v2'}], r"\[0\]: lacks the entry 'description'"),
        ('HowTo100M', 'json', {'v2': {'start': [0], 'end': [], 'text': []}}, "'v2': zip"),
        ('HowTo100M', 'json', {'v2': {'start': 0}}, "'v2': start: expected a list"),
        ('MSRVTT', 'json', {'videos': [], 'sentences': [{'video_id': 'v2'}]}, "'caption'"),
    ):
        (root / f'odd.{kind}').write_text(json.dumps(content))
        more = dict(video_list='list.csv') if name == 'MSRVTT' else {}
        with pytest.raises(ValueError, match=rf'^ann_file: .*odd\.{kind}.*{message}'):
            build(name, root, ann_file=f'odd.{kind}', **more)
    (root / 'odd.json').write_text('{"video0": "a", "video0": "b"}')
    with pytest.raises(ValueError, match="the key 'video0' comes more than once"):
        build('VideoCaptions', root, ann_file='odd.json')
