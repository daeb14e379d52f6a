"""Part 'video': short mp4 clips of one moving thing, for action recognition and retrieval.

    video/clips/video0.mp4 ...          16 frames of 64 px at 8 per second, H.264
    video/{train,val,test}.txt          Kinetics' list: a line 'video0.mp4 label' per clip
    video/classes.json                  the 96 actions in order, and the split of each
    video/msrvtt.json                   MSR-VTT's format: videos with their split, sentences
    video/msrvtt_{train,test}.csv       its lists: video_id; key,vid_key,video_id,sentence

An action is a shape and a motion ('star moving left'): 12 shapes and 8 motions. **Novel** are 24
pairs, two of each shape and three of each motion, in no training clip: a model must put together
what it knows apart. Color and texture are left to chance, and captions tell them. Most motions are
others played backwards, so the order of frames matters. In the test clips no thing moves in the
same way twice, so each has a caption of its own.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmclip.datasets.mini_world.draw import background, paint
from mmclip.datasets.mini_world.world import SHAPES, Thing, World

SIZE = 64
FRAMES = 16
FRAME_RATE = 8
THING = 48  # side at which a thing is drawn, pixels
PER_ACTION = {'train': 20, 'val': 2, 'test': 6}
GALLERY_PER_ACTION = 2  # clips of the test split in the retrieval list
SENTENCES = (
    'a {} is {}',
    'the {} {}',
    'a video of a {} {}.',
    'there is a {} {} here.',
)


@dataclass(frozen=True)
class Pose:
    """Where a thing is in a frame: center in pixels from the middle, size, and how visible."""

    x: float = 0.0
    y: float = 0.0
    size: float = 0.62  # of THING
    alpha: float = 1.0


def _line(dx: float, dy: float) -> Callable[[float, float], Pose]:
    return lambda t, reach: Pose(x=dx * reach * (2 * t - 1), y=dy * reach * (2 * t - 1))


def _grow(sign: float) -> Callable[[float, float], Pose]:
    return lambda t, reach: Pose(size=0.68 + sign * 0.026 * reach * (t - 0.5) * 2)


# Name -> pose at time t in [0, 1]; reach is 11 to 15.
MOTIONS: dict[str, Callable[[float, float], Pose]] = {
    'moving left': _line(-1, 0),
    'moving right': _line(1, 0),
    'moving up': _line(0, -1),
    'moving down': _line(0, 1),
    'growing': _grow(1),
    'shrinking': _grow(-1),
    'blinking': lambda t, reach: Pose(alpha=float(int(t * 8) % 2 == 0)),
    'shaking': lambda t, reach: Pose(x=0.4 * reach * np.sin(2 * np.pi * 4 * t)),
}
ACTIONS = tuple((shape, motion) for shape in SHAPES for motion in MOTIONS)


def action_name(shape: str, motion: str) -> str:
    return f'{shape} {motion}'


def action_splits() -> dict[str, str]:
    """Name of an action -> 'base' or 'novel'."""
    motions = list(MOTIONS)
    return {
        action_name(shape, motion): 'novel'
        if SHAPES.index(shape) % 4 == motions.index(motion) % 4
        else 'base'
        for shape, motion in ACTIONS
    }


def draw_clip(thing: Thing, motion: str, rng: np.random.Generator) -> np.ndarray:
    """(16, 64, 64, 3) uint8 RGB frames of a thing in motion on a ground that stands still."""
    ground = background(SIZE, SIZE, rng)
    # Painted on black and on white: the difference tells its edge.
    black = np.zeros((THING, THING, 3), np.float32)
    mask = paint(black, thing, 0, 0, THING, rng)
    cover = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0)
    patch = np.dstack([black * mask[..., None], mask.astype(np.float32)])
    patch[..., 3] = np.minimum(cover, patch[..., 3])
    patch[..., :3] *= patch[..., 3:]
    reach = rng.uniform(11, 15)
    shift = rng.uniform(-4, 4, 2)
    start = rng.uniform(0, 0.04)
    frames = []
    for number in range(FRAMES):
        pose = MOTIONS[motion](start + (1 - start) * number / (FRAMES - 1), reach)
        center = np.array([SIZE / 2 + pose.x, SIZE / 2 + pose.y]) + shift
        move = np.array([[pose.size, 0, 0], [0, pose.size, 0]], np.float64)
        move[:, 2] = center - pose.size * THING / 2
        layer = cv2.warpAffine(patch, move, (SIZE, SIZE), flags=cv2.INTER_LINEAR) * pose.alpha
        frame = ground * (1 - layer[..., 3:]) + layer[..., :3]
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return np.stack(frames)


def write_clip(path: Path, frames: np.ndarray, rate: int = FRAME_RATE) -> None:
    """Write RGB frames (T, H, W, 3) as mp4, the same bytes for the same frames.

    Raises:
        ImportError: PyAV is missing.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError(
            'parts: PyAV is needed to write videos: `pip install av` brings it; `--parts` makes '
            'the other parts'
        ) from error
    codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
    with av.open(str(path), 'w', options={'fflags': '+bitexact'}) as container:
        options = dict(crf='23', preset='ultrafast', g='8') if codec == 'libx264' else dict(g='8')
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.thread_count = 1  # the bytes depend on it
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())


def _plan(world: World) -> list[tuple[str, str, Thing]]:
    """Split, motion and thing of every clip, in order."""
    rng = np.random.default_rng([world.seed, 60])
    known = world.of('base', 'novel')
    splits = action_splits()
    plan = []
    for split, per_action in PER_ACTION.items():
        rows = []
        for shape, motion in ACTIONS:
            if split == 'train' and splits[action_name(shape, motion)] == 'novel':
                continue
            things = [thing for thing in known if thing.shape == shape]
            order = rng.permutation(len(things))
            rows += [
                (split, motion, things[order[i % len(things)]])
                for i in range(world.scaled(per_action))
            ]
        plan += [rows[i] for i in rng.permutation(len(rows))] if split == 'train' else rows
    return plan


def count(world: World) -> int:
    return len(_plan(world))


def _sentences(thing: Thing, motion: str) -> list[str]:
    return [sentence.format(thing.name, motion) for sentence in SENTENCES]


def write(out: Path, world: World, tick: Callable[[], None]) -> None:
    rng = np.random.default_rng([world.seed, 61])
    names = [action_name(*action) for action in ACTIONS]
    (out / 'clips').mkdir(parents=True)
    lists = {split: [] for split in PER_ACTION}
    videos, sentences = [], []
    for number, (split, motion, thing) in enumerate(_plan(world)):
        video = f'video{number}'
        write_clip(out / 'clips' / f'{video}.mp4', draw_clip(thing, motion, rng))
        label = names.index(action_name(thing.shape, motion))
        lists[split].append((video, label, thing, motion))
        videos.append(
            dict(
                video_id=video,
                id=number,
                category=list(MOTIONS).index(motion),
                split={'val': 'validate'}.get(split, split),
            )
        )
        for caption in _sentences(thing, motion):
            sentences.append(dict(caption=caption, video_id=video, sen_id=len(sentences)))
        tick()
    for split, rows in lists.items():
        lines = [f'{video}.mp4 {label}\n' for video, label, *_ in rows]
        (out / f'{split}.txt').write_text(''.join(lines))
    (out / 'classes.json').write_text(
        json.dumps(dict(names=names, splits=action_splits()), indent=1)
    )
    info = dict(description='MiniWorld video', version='1')
    (out / 'msrvtt.json').write_text(json.dumps(dict(info=info, videos=videos,
                                                     sentences=sentences)))  # fmt: skip
    _write_lists(out, lists)


def _write_lists(out: Path, lists: dict[str, list]) -> None:
    """MSR-VTT's lists: all training clips, and a gallery of test clips with a sentence each."""
    with (out / 'msrvtt_train.csv').open('w', newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow(['video_id'])
        writer.writerows([row[0]] for row in lists['train'])
    seen: dict[int, int] = {}
    gallery = []
    for video, label, thing, motion in lists['test']:
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= GALLERY_PER_ACTION:
            gallery.append((video, _sentences(thing, motion)[0]))
    with (out / 'msrvtt_test.csv').open('w', newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow(['key', 'vid_key', 'video_id', 'sentence'])
        for number, (video, sentence) in enumerate(gallery):
            writer.writerow([f'ret{number}', f'msr{number}', video, sentence])
