"""COCO-Object's masks out of COCO-Stuff's."""

import importlib.util
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmclip.text.class_names import class_names

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters' / 'coco_object.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('coco_object', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_values_by_hand(tool):
    table, names = tool.lookup_table(), class_names('coco80')
    # COCO's ids: person 1, fire hydrant 11, stop sign 13 (12 is not used), toothbrush 90.
    for category, name in ((1, 'person'), (11, 'fire hydrant'), (13, 'stop sign')):
        assert names[table[category - 1] - 1] == name
    assert table[89] == 80 and names[79] == 'toothbrush'
    assert sorted(set(table[table > 0].tolist())) == list(range(1, 81))
    # Stuff (ids 92 to 182) and unlabeled pixels are background: nothing is ignored.
    assert set(table[91:].tolist()) == {0}


def test_a_folder(tool, tmp_path, capsys):
    source, out = tmp_path / 'src', tmp_path / 'out'
    source.mkdir()
    cv2.imwrite(str(source / 'a.png'), np.array([[0, 12, 89], [91, 181, 255]], np.uint8))
    assert tool.main([str(source), str(out)]) == 0
    mask = cv2.imread(str(out / 'a.png'), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == [[1, 12, 80], [0, 0, 0]]
    assert tool.main([str(source), str(out)]) == 0
    assert '0 masks made, 1 were there' in capsys.readouterr().out
    assert [p.name for p in out.iterdir()] == ['a.png']


def test_bad_input(tool, tmp_path, capsys):
    with pytest.raises((ValueError, OSError), match=re.escape('stuffthingmaps')):
        tool.main([str(tmp_path), str(tmp_path / 'out')])
    cv2.imwrite(str(tmp_path / 'b.png'), np.array([[0, 11]], np.uint8))  # id 12 is not used
    with pytest.raises((ValueError, OSError), match=re.escape('b.png: it holds the values [11]')):
        tool.main([str(tmp_path), str(tmp_path / 'out')])
    cv2.imwrite(str(tmp_path / 'b.png'), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises((ValueError, OSError), match=re.escape('image of mode RGB')):
        tool.main([str(tmp_path), str(tmp_path / 'out')])
