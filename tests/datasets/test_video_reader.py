"""Reading frames by number: every container, images that are to be turned, moments of frames."""

import struct

import av
import numpy as np
import pytest

from mmclip.datasets.video_reader import open_video

LEVELS = list(range(10, 250, 8))  # 30 frames


def write(path, images, *, codec='libx264', rate=25, options=None, moments=None):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=rate, options=options or dict(crf='10'))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts = number if moments is None else moments[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def gray(path, **kwargs):
    """Plain gray frames, which tell their number."""
    return write(path, [np.full((64, 64, 3), level, np.uint8) for level in LEVELS], **kwargs)


H264 = dict(codec='libx264', options=dict(g='5', bf='3', crf='10'))
MPEG2 = dict(codec='mpeg2video', options=dict(g='5', bf='2', b='4M'))
MPEG4 = dict(codec='mpeg4', options=dict(g='5', bf='2', b='4M'))


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('a.mp4', H264), ('a.mkv', H264), ('a.flv', H264), ('a.ts', H264), ('a.avi', H264),
        ('a.mpg', H264), ('a.h264', H264), ('b.ts', MPEG2), ('b.mpg', MPEG2), ('c.avi', MPEG4),
    ],
)  # fmt: skip
def test_the_right_frames_of_every_container(tmp_path, name, kind, caplog):
    path = gray(tmp_path / name, **kind)
    for numbers in (list(range(30)), [7, 3, 3, 28], [14, 15], [29], [0], [11]):
        with open_video(path) as reader:
            assert reader.num_frames == len(LEVELS)
            found = [float(frame.mean()) for frame in reader.read(numbers)]
        assert found == pytest.approx([LEVELS[n] for n in numbers], abs=4)
    assert 'cannot be decoded' not in caplog.text


def test_a_jump_that_lands_wrong_is_made_good(tmp_path, monkeypatch):
    path = gray(tmp_path / 'a.mp4', **H264)
    with open_video(path) as reader:
        late = reader._moments[-1]
        monkeypatch.setattr(reader, '_starts', [])
        monkeypatch.setattr(reader, '_moments', [late, *reader._moments[1:]])
        assert [float(f.mean()) for f in reader.read([0, 4])] == pytest.approx(
            [LEVELS[0], LEVELS[4]], abs=4
        )


# 16.16 fixed point (2.30 in the last column), as a phone writes them for each way of holding it.
TURNS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def turned(path, degrees):
    """An mp4 with a white corner at the top left, and a matrix that turns it clockwise."""
    image = np.zeros((64, 128, 3), np.uint8)
    image[:16, :32] = 255
    write(path, [image] * 3)
    data = bytearray(path.read_bytes())
    header = data.index(b'tkhd') + 4  # version 0: 40 bytes, then the matrix
    a, b, c, d = (value << 16 for value in TURNS[degrees])
    data[header + 40 : header + 76] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


CORNER = {0: (0, 0), 90: (0, -1), 180: (-1, -1), 270: (-1, 0)}


@pytest.mark.parametrize('degrees', TURNS)
@pytest.mark.parametrize('way', ['pyav', 'pyav in order', 'decord', 'cv2'])
def test_images_are_turned_as_the_file_says(tmp_path, degrees, way):
    path = turned(tmp_path / 'phone.mp4', degrees)
    if way == 'cv2':  # another reader's opinion
        cv2 = pytest.importorskip('cv2')
        frame = cv2.VideoCapture(str(path)).read()[1]
    else:
        if way == 'decord':
            pytest.importorskip('decord')
        with open_video(path, way.split()[0]) as reader:
            if 'order' in way:
                reader._seeks = False
            frame = reader.read([1])[0]
    assert frame.shape == ((128, 64, 3) if degrees in (90, 270) else (64, 128, 3))
    row, column = CORNER[degrees]
    assert frame[row, column].min() > 200 and frame[-1 - row, -1 - column].max() < 50
    assert frame.flags.c_contiguous


@pytest.mark.parametrize('backend', ['pyav', 'decord'])
def test_moments_of_frames(tmp_path, backend):
    pytest.importorskip(backend.replace('pyav', 'av'))
    with open_video(gray(tmp_path / 'even.mp4', **H264), backend) as reader:
        assert not reader.varies
        assert reader.moments == pytest.approx(np.arange(30) / 25, abs=1e-3)
    # A frame in each of the first 20 ticks (of 1 / 10 s), then one in every ten.
    moments = [*range(20), *range(20, 120, 10)]
    path = gray(tmp_path / 'vfr.mp4', rate=10, moments=moments)
    with open_video(path, backend) as reader:
        assert reader.varies
        assert reader.moments == pytest.approx(np.array(moments) / 10, abs=1e-3)
        assert reader.number_at([0, 0.55, 2, 2.9, 3, 50]).tolist() == [0, 5, 20, 20, 21, 29]


def test_decord_says_that_it_is_decord_which_cannot_read(tmp_path):
    pytest.importorskip('decord')
    from PIL import Image

    frames = [Image.new('P', (32, 32), color) for color in range(3)]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    (tmp_path / 'b.mp4').write_bytes(b'no video')
    for name in ('a.gif', 'b.mp4'):
        with pytest.raises(ValueError, match=rf"decord .*{name}.*backend='pyav'"):
            open_video(tmp_path / name, 'decord').close()


@pytest.mark.parametrize('suffix, warns', [('.avi', True), ('.TS', True), ('.mp4', False)])
def test_decord_warns_once_of_containers_that_it_may_misread(suffix, warns, tmp_path, monkeypatch):
    pytest.importorskip('decord')
    import cv2

    from mmclip.datasets import video_reader

    said = []
    monkeypatch.setattr(video_reader, 'print_log', lambda text, *rest, **more: said.append(text))
    written = tmp_path / 'a.mp4'
    writer = cv2.VideoWriter(str(written), cv2.VideoWriter_fourcc(*'mp4v'), 8, (64, 48))
    for value in range(8):
        writer.write(np.full((48, 64, 3), 20 * value, np.uint8))
    writer.release()
    video = written.rename(tmp_path / f'b{suffix}')  # what counts is what the name says
    for _ in range(2):
        open_video(video, 'decord').close()
    assert len(said) == warns
    assert all("backend='pyav'" in text for text in said)
