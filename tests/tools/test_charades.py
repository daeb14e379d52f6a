import importlib.util
from pathlib import Path

import pytest

from mmclip.datasets.video import VideoClassificationDataset, read_action_names

PATH = Path(__file__).resolve().parents[2] / 'tools/dataset_converters/charades.py'
SPEC = importlib.util.spec_from_file_location('charades', PATH)
charades = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(charades)

HEAD = 'id,subject,script,actions,length\n'
NAMES = 'c000 Holding some clothes\nc001 Putting clothes, or a towel, somewhere\nc002 Smiling\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'Charades_v1_classes.txt').write_text(NAMES)
    (tmp_path / 'Charades_v1_train.csv').write_text(
        HEAD
        + 'AAAAA,S1,"A person, who\nsmiles",c002 0.00 9.10;c000 11.90 21.20;c002 12.00 13.00,20.5\n'
        + 'BBBBB,S2,nothing,,30.0\n'
    )
    (tmp_path / 'Charades_v1_test.csv').write_text(
        HEAD + 'CCCCC,S1,nothing,,9.0\nDDDDD,S1,x,c001 0.00 5.00,9.0\n'
    )
    return tmp_path


def test_lists_are_read_by_the_data_set(folder, capsys):
    out = folder / 'out'
    charades.main([str(folder), '--out', str(out)])
    assert '1 of 2 videos' in capsys.readouterr().out
    assert (out / 'charades_train_list_videos.txt').read_text() == 'AAAAA.mp4 0 2\n'
    names = read_action_names('charades_labels.csv', str(out))
    assert names[1] == 'Putting clothes, or a towel, somewhere' and len(names) == 3
    data = VideoClassificationDataset(
        ann_file='charades_val_list_videos.txt', data_root=str(out), classes='charades_labels.csv',
        multi_label=True, test_mode=True, pipeline=[], data_prefix=dict(video='videos'),
    )  # fmt: skip
    assert [data.get_data_info(i)['label'].tolist() for i in (0, 1)] == [[0, 0, 0], [0, 1, 0]]


def test_what_is_wrong_is_named(folder):
    for text, message in (
        (HEAD, 'columns'),
        ('a,b\n1,2\n', 'columns'),
        (HEAD + 'A,S,x,c003 0 1,2\n', 'video A'),
        (HEAD + 'A,S,x,smiling,2\n', "got 'smiling'"),
    ):
        with pytest.raises(ValueError, match=message):
            charades.video_lines(text, 3)
    with pytest.raises(ValueError, match="expected 'c001 name'"):
        charades.action_names('c000 a\nc002 b\n')
    (folder / 'Charades_v1_test.csv').unlink()
    with pytest.raises(FileNotFoundError, match='charades'):
        charades.main([str(folder)])
