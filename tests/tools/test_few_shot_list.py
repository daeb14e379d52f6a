import importlib.util
import re
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / 'tools/dataset_converters/few_shot_list.py'
SPEC = importlib.util.spec_from_file_location('few_shot_list', PATH)
few_shot_list = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few_shot_list)
LINES = [f'v {i}.mp4 {i % 3}' for i in range(30)]


def test_so_many_of_each_class_by_a_seed():
    chosen = few_shot_list.draw(LINES, 4, 0)
    labels = [line.rsplit(' ', 1)[1] for line in chosen]
    assert sorted(labels) == sorted('012' * 4)
    assert chosen == few_shot_list.draw(LINES, 4, 0) != few_shot_list.draw(LINES, 4, 1)
    assert set(chosen) <= set(few_shot_list.draw(LINES, 8, 0))
    assert [LINES.index(line) for line in chosen] == sorted(LINES.index(line) for line in chosen)


def test_command_line(tmp_path, capsys):
    path = tmp_path / 'train.txt'
    path.write_text('\n'.join(LINES) + '\n\n')
    assert few_shot_list.main([str(path), '--shots', '2']) == 0
    out = tmp_path / 'train_2_shot_seed0.txt'
    assert out.read_text().splitlines() == few_shot_list.draw(LINES, 2, 0)
    with pytest.raises((ValueError, OSError), match=re.escape('class 0 has 10 clips')):
        few_shot_list.main([str(path), '--shots', '11'])
    with pytest.raises(FileNotFoundError, match='none'):
        few_shot_list.main([str(tmp_path / 'none'), '--shots', '1'])
    for lines, shots, message in ((['a b'], 1, 'line 1'), ([], 1, 'empty'), (LINES, 0, 'shots: 0')):
        with pytest.raises(ValueError, match=message):
            few_shot_list.draw(lines, shots, 0)
