"""tools/precompute_regions.py: contents, kills, several processes, bad input."""

import json
import signal
import time
from pathlib import Path

import cv2
import forked
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from safetensors.torch import save_file

from mmclip.cli import regions
from mmclip.clip.loading import build_clip
from mmclip.distributed import job_place
from mmclip.models.vild.crops import CropRule, encode_crops, region_crops
from mmclip.registry import MODELS
from mmclip.stores.regions import RegionStore

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'precompute_regions.py'
COUNTS = (3, 0, 5, 2, 4, 1, 2)


@pytest.fixture(scope='module')
def tool():
    return regions


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Seven images with boxes (one has none) and a teacher with random weights."""
    folder = tmp_path_factory.mktemp('regions')
    rng = np.random.default_rng(0)
    images, rows = [], []
    for number, count in enumerate(COUNTS):
        width, height = 60 + 4 * number, 50
        cv2.imwrite(
            str(folder / f'{number}.png'), rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        )
        images.append(dict(id=100 - number, file_name=f'{number}.png', width=width, height=height))
        corners = rng.uniform(0, 25, (count, 2))
        sizes = rng.uniform(5, 24, (count, 2))
        rows += [
            dict(image_id=100 - number, bbox=[*corner, *size], score=float(score))
            for corner, size, score in zip(corners, sizes, rng.uniform(size=count), strict=True)
        ]
    (folder / 'ann.json').write_text(json.dumps(dict(images=images, annotations=[], categories=[])))
    (folder / 'boxes.json').write_text(json.dumps(rows))
    torch.manual_seed(0)
    save_file(build_clip('mini_clip').state_dict(), folder / 'teacher.safetensors')
    return folder


def arguments(data: Path, out: Path, *more: str, boxes: str = 'boxes.json') -> list[str]:
    return [
        *('--ann', str(data / 'ann.json'), '--images', str(data), '--out', str(out)),
        *('--boxes', str(data / boxes), '--allow-empty', '--model', 'mini_clip'),
        *('--pretrained', str(data / 'teacher.safetensors')),
        *('--images-per-shard', '2', '--batch-size', '4', '--workers', '0', *more),
    ]


@pytest.fixture(scope='module')
def store(tool, data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('stores') / 'whole'
    tool.main(arguments(data, out))
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_holds_the_embeddings_of_the_best_boxes(store, data):
    boxes = [row for row in json.loads((data / 'boxes.json').read_text()) if row['image_id'] == 98]
    boxes = sorted(boxes, key=lambda row: -row['score'])
    xyxy = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (row['bbox'] for row in boxes)])
    found = RegionStore(store).load(98)
    torch.testing.assert_close(found.boxes, xyxy)
    assert found.scores.tolist() == pytest.approx([row['score'] for row in boxes])
    clip = build_clip('mini_clip', str(data / 'teacher.safetensors'))
    image = cv2.cvtColor(cv2.imread(str(data / '2.png')), cv2.COLOR_BGR2RGB)
    rule = CropRule(size=48)
    expected = encode_crops(clip, region_crops(image, xyxy, rule), rule)
    torch.testing.assert_close(found.embeddings.float(), expected, rtol=0, atol=2e-3)
    assert RegionStore(store).load(99).embeddings.shape == (0, 128)


def test_several_processes_and_workers_make_the_same_bytes(
    tool, data, store, tmp_path, monkeypatch
):
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank in ('1', '0'):
        monkeypatch.setenv('RANK', rank)
        tool.main(arguments(data, tmp_path / 'two', '--workers', '1'))
    assert content(tmp_path / 'two') == content(store)


def test_a_run_that_is_cut_off_goes_on(tool, data, store, tmp_path, monkeypatch):
    from mmclip.offline import precompute_regions

    out, write = tmp_path / 'cut', precompute_regions.write_shard
    for _ in range(3):
        made = []

        def one_then_die(path, *rest, made=made):
            if made:
                path.with_name(f'.{path.name}.partial-host-1').write_bytes(b'half')
                raise KeyboardInterrupt
            made.append(path)
            return write(path, *rest)

        monkeypatch.setattr(precompute_regions, 'write_shard', one_then_die)
        with pytest.raises(KeyboardInterrupt):
            tool.main(arguments(data, out))
        with pytest.raises(FileNotFoundError, match='not finished'):
            RegionStore(out)
    monkeypatch.setattr(precompute_regions, 'write_shard', write)
    tool.main(arguments(data, out))
    assert content(out) == content(store)


@pytest.mark.slow
def test_a_run_that_is_killed_three_times_goes_on(data, store, tmp_path):
    out = tmp_path / 'killed'
    command = [TOOL, *arguments(data, out)]
    for number in range(3):
        process = forked.Forked(*command)
        while len(list(out.glob('shard-*'))) <= number and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert forked.run(*command).returncode == 0
    assert content(out) == content(store)


def test_dry_run_tells_size_and_writes_nothing(tool, data, tmp_path, capsys):
    tool.main(arguments(data, tmp_path / 'none', '--dry-run'))
    printed = capsys.readouterr().out
    assert 'images  7' in printed and f'regions   {sum(COUNTS)}, {2 * sum(COUNTS)} crops' in printed
    assert f'{sum(COUNTS) * (20 + 256) / 1000:.1f} kB in 4 shards' in printed
    assert 'regions/s' in printed and not (tmp_path / 'none').exists()


def test_another_crop_rule_or_other_boxes_do_not_mix(tool, data, store):
    with pytest.raises(ValueError, match="crop_rule.resize is 'short_side', not 'warp'"):
        tool.main(arguments(data, store, '--resize', 'warp'))
    with pytest.raises(ValueError, match='boxes.max_regions is 300, not 2'):
        tool.main(arguments(data, store, '--max-regions', '2'))


def test_boxes_of_other_images(tool, data, tmp_path):
    np.savez(
        data / 'other.npz', image_ids=np.arange(3), offsets=np.arange(4), boxes=np.ones((3, 4))
    )
    with pytest.raises(ValueError, match=r'no entry for 7 of 7 images.*\[94, 95, 96\]'):
        tool.main(arguments(data, tmp_path / 'x', boxes='other.npz'))
    outside = [dict(image_id=98, bbox=[500, 500, 20, 20], score=1)]
    (data / 'outside.json').write_text(json.dumps(outside))
    with pytest.raises(ValueError, match=r'image id 98, .*2\.png.*other images'):
        tool.main(arguments(data, tmp_path / 'y', boxes='outside.json'))
    (data / 'bad.npz').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'bad\.npz is not a file of boxes'):
        tool.main(arguments(data, tmp_path / 'z', boxes='bad.npz'))


def test_number_of_the_process():
    assert job_place({}) == (0, 1)
    assert job_place({'RANK': '3', 'WORLD_SIZE': '8'}) == (3, 8)
    array = {'SLURM_ARRAY_TASK_ID': '7', 'SLURM_ARRAY_TASK_MIN': '5', 'SLURM_ARRAY_TASK_COUNT': '4'}
    assert job_place(array) == (2, 4)
    step = {'SLURM_STEP_ID': '0', 'SLURM_STEP_NUM_TASKS': '2', 'SLURM_PROCID': '1'}
    assert job_place(step) == (1, 2)
    assert job_place({**array, **step}) == (5, 8)


def test_proposals_of_a_detector(tool, data, tmp_path):
    config = ROOT / 'configs' / 'vild' / 'mini' / 'vild_text_r18_mini.py'
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    cfg.model.roi_head.bbox_head.classifier.classes = ['red star', 'blue ring']
    state = MODELS.build(cfg.model).state_dict()
    for name in [name for name in state if name.endswith('.embeddings')]:
        state[name] = F.normalize(torch.randn_like(state[name]), dim=1)
    torch.save(state, tmp_path / 'detector.pth')
    more = arguments(data, tmp_path / 'out', '--max-regions', '6')
    at = more.index('--boxes')
    detector = ['--config', str(config), '--checkpoint', str(tmp_path / 'detector.pth')]
    tool.main([*more[:at], *detector, *more[at + 3 :]])
    store = RegionStore(tmp_path / 'out')
    assert store.meta['boxes']['kind'] == 'rpn'
    for number in range(len(COUNTS)):
        found = store.load(100 - number)
        assert len(found.boxes) == 6
        assert (found.scores.diff() <= 0).all()
        width, height = 60 + 4 * number, 50  # in the image's own pixels, inside of it
        assert (found.boxes >= 0).all() and found.boxes[:, 2].max() <= width + 1e-3
        assert found.boxes[:, 3].max() <= height + 1e-3 and found.boxes[:, 2].max() > width / 2
    detector[-1] = str(data / 'teacher.safetensors')
    with pytest.raises(ValueError, match='does not fit'):
        tool.main([*more[:at], *detector, *more[at + 3 :]])
