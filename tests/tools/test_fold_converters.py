"""The converters of PASCAL-5i and COCO-20i on made-up files in the real layouts."""

import json
import pickle
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmclip.datasets.fold_segmentation import FoldSegDataset

FOLDER = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters'
LOAD = [dict(type='mmcv.LoadImageFromFile'), dict(type='mmclip.LoadSegMap')]


@pytest.fixture(autouse=True)
def converters(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ('pascal5i', 'coco20i'):
        sys.modules.pop(name, None)


def image(path, *size):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))


@pytest.fixture
def voc(tmp_path):
    from PIL import Image
    from scipy.io import savemat

    root = tmp_path / 'VOC2012'
    (root / 'SegmentationClass').mkdir(parents=True)
    (root / 'ImageSets' / 'Segmentation').mkdir(parents=True)
    for name in ('train_1', 'val_1', 'sbd_1'):
        image(root / 'JPEGImages' / f'{name}.jpg', 2, 3)
    for name, values in (
        ('train_1', [[0, 6, 6], [0, 0, 255]]),
        ('val_1', [[0, 1, 7], [1, 1, 255]]),
    ):
        mask = Image.fromarray(np.array(values, np.uint8), mode='P')
        mask.putpalette([v for i in range(256) for v in (i, 3 * i % 256, 5)])
        mask.save(root / 'SegmentationClass' / f'{name}.png')
    (root / 'ImageSets' / 'Segmentation' / 'val.txt').write_text('val_1\n')
    cls = tmp_path / 'sbd' / 'dataset' / 'cls'
    cls.mkdir(parents=True)
    for name, value in (('sbd_1', 12), ('train_1', 3)):
        segmentation = np.full((2, 3), value, np.uint8)
        savemat(cls / f'{name}.mat', {'GTcls': {'Segmentation': segmentation}})
    return tmp_path


def test_pascal5i(voc, capsys):
    import pascal5i

    out = voc / 'out'
    arguments = ['--voc', str(voc / 'VOC2012'), '--sbd', str(voc / 'sbd'), '--out', str(out)]
    assert pascal5i.main(arguments) == 0
    assert 'not comparable' in capsys.readouterr().out
    options = dict(benchmark='pascal5i', fold=0, data_root=str(out), pipeline=LOAD)
    test = FoldSegDataset(part='test', **options)
    assert test[0]['gt_seg_map'].tolist() == [[0, 1, 0], [1, 1, 255]]
    train = FoldSegDataset(part='train', **options)
    asked = [(Path(r['img_path']).stem, r['class_id']) for r in map(train.get_data_info, range(2))]
    # VOC's own mask of train_1 counts, not SBD's
    assert asked == [('train_1', 5), ('sbd_1', 11)]


def test_pascal5i_takes_the_official_lists(voc):
    import pascal5i

    for kind in ('trn', 'val'):
        for fold in range(4):
            path = voc / 'lists' / kind / f'fold{fold}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('val_1__01\n' if (kind, fold) == ('val', 0) else '')
    out = voc / 'out'
    common = ['--voc', str(voc / 'VOC2012'), '--out', str(out)]
    assert pascal5i.main([*common, '--lists', str(voc / 'lists')]) == 0
    assert (out / 'splits' / 'val' / 'fold0.txt').read_text() == 'val_1__01\n'
    assert pascal5i.main([*common, '--sbd', str(voc / 'nowhere')]) == 1


def test_a_mask_of_sbd_that_was_cut_off_is_not_kept(voc, monkeypatch):
    import pascal5i

    arguments = ['--voc', str(voc / 'VOC2012'), '--sbd', str(voc / 'sbd'), '--out', str(voc / 'o')]
    whole = pascal5i.Image.Image.save

    def cut_off(self, target, **kwargs):
        whole(self, target, **kwargs)
        if self.getpixel((0, 0)) == 12:  # SBD's
            Path(target).write_bytes(Path(target).read_bytes()[:20])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pascal5i.Image.Image, 'save', cut_off)
        with pytest.raises(KeyboardInterrupt):
            pascal5i.main(arguments)
    assert pascal5i.main(arguments) == 0
    mask = cv2.imread(str(voc / 'o/SegmentationClassAug/sbd_1.png'), cv2.IMREAD_UNCHANGED)
    assert mask is not None and (mask == 12).all()


def test_missing_lists_are_told_before_anything_is_written(voc, capsys):
    import pascal5i

    (voc / 'lists' / 'val').mkdir(parents=True)
    (voc / 'lists' / 'val' / 'fold0.txt').write_text('val_1__01\n')
    arguments = ['--voc', str(voc / 'VOC2012'), '--out', str(voc / 'out')]
    assert pascal5i.main([*arguments, '--lists', str(voc / 'lists')]) == 1
    assert 'fold1.txt' in capsys.readouterr().err and not (voc / 'out').exists()


@pytest.fixture
def coco(tmp_path):
    root = tmp_path / 'coco2014'
    (root / 'annotations').mkdir(parents=True)
    categories = [dict(id=i, name=f'c{i}') for i in (1, 3, 90)]
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    small = [[0, 0, 2, 0, 2, 2, 0, 2]]
    for part in ('train2014', 'val2014'):
        image(root / part / f'{part}_1.jpg', 4, 6)
        shared = dict(image_id=7, iscrowd=0)
        annotations = [
            dict(id=1, category_id=3, segmentation=small, area=4, bbox=[0, 0, 2, 2], **shared),
            dict(id=2, category_id=1, segmentation=square, area=16, bbox=[0, 0, 4, 4], **shared),
        ]
        images = [dict(id=7, file_name=f'{part}_1.jpg', height=4, width=6)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{part}.json').write_text(json.dumps(content))
    return root


def test_coco20i(coco, tmp_path):
    import coco20i

    out = tmp_path / 'out'
    assert coco20i.main(['--coco', str(coco), '--out', str(out)]) == 0
    mask = cv2.imread(str(out / 'annotations/val2014/val2014_1.png'), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((4, 6), int)
    expected[:, :4] = 1
    expected[:2, :2] = 2  # the smaller one stays visible
    assert mask.tolist() == expected.tolist()
    assert json.loads((out / 'splits/val/fold1.json').read_text()) == {
        '1': ['val2014/val2014_1.jpg']
    }
    assert json.loads((out / 'splits/trn/fold1.json').read_text()) == {
        '0': ['train2014/train2014_1.jpg']
    }
    with pytest.raises(ValueError, match='no image shows the classes .4, 8'):
        FoldSegDataset(benchmark='coco20i', fold=0, part='test', data_root=str(out), pipeline=LOAD)


def test_coco20i_reads_the_official_pickles_without_running_them(coco, tmp_path):
    import coco20i

    lists = tmp_path / 'lists'
    for kind in ('trn', 'val'):
        (lists / kind).mkdir(parents=True)
        for fold in range(4):
            table = {fold: ['val2014/a.jpg'], fold + 4: []}
            (lists / kind / f'fold{fold}.pkl').write_bytes(pickle.dumps(table, protocol=3))
    coco20i.official_lists(lists, tmp_path / 'json')
    assert json.loads((tmp_path / 'json/val/fold2.json').read_text()) == {'2': ['val2014/a.jpg']}
    assert coco20i.main(['--coco', str(coco / 'nowhere'), '--out', str(tmp_path / 'o')]) == 1


def test_ready_masks_are_linked_and_never_painted_over(coco, tmp_path, capsys):
    import coco20i

    for part in ('train2014', 'val2014'):
        image(tmp_path / 'ready' / part / f'{part}_1.png', 1, 1)
    out, ready = tmp_path / 'out', tmp_path / 'ready'
    arguments = ['--coco', str(coco), '--out', str(out)]
    assert coco20i.main(arguments) == 0
    # masks that were painted before are not taken for those that are asked for
    with pytest.raises((ValueError, OSError), match=re.escape('annotations/train2014 is there')):
        coco20i.main([*arguments, '--masks', str(ready)])
    other = ['--coco', str(coco), '--out', str(tmp_path / 'other')]
    mask = np.zeros((1, 1), np.uint8)
    for part in ('train2014', 'val2014'):
        cv2.imwrite(str(ready / part / f'{part}_1.png'), mask)
    assert coco20i.main([*other, '--masks', str(ready)]) == 0
    with pytest.raises((ValueError, OSError), match=re.escape('would be painted over')):
        coco20i.main(other)
    left = cv2.imread(str(ready / 'train2014' / 'train2014_1.png'), cv2.IMREAD_UNCHANGED)
    assert left.shape == (1, 1)
