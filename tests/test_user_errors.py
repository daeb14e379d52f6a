"""Which errors of a tool are told in a sentence."""

import errno
import re
import subprocess
import sys

import pytest
import torch
from mmengine.registry import MODELS

from mmclip.config_file import read_config
from mmclip.config_path import config_path
from mmclip.distributed import job_device
from mmclip.user_errors import UserError, explain, run


def raised(action, *arguments):
    with pytest.raises(Exception) as caught:
        action(*arguments)
    return caught.value


def test_what_the_system_refuses_is_told_with_a_way_out(tmp_path):
    (tmp_path / 'file').write_text('')
    cases = [
        (lambda: open(tmp_path), f'{tmp_path}: Is a directory; name a file in it'),
        (lambda: (tmp_path / 'file').mkdir(), 'file: File exists; a file is where a folder is'),
        (lambda: open(tmp_path / 'file/a'), 'file/a: Not a directory; a file is where a folder'),
        (lambda: open(tmp_path / 'none'), 'none: No such file or directory'),
    ]
    for action, message in cases:
        assert message in explain(raised(action))
    full = OSError(errno.ENOSPC, 'No space left on device', 'a.pth')
    assert explain(full) == (
        'a.pth: No space left on device; free some space and run the command again'
    )

    def save():  # as torch.save does on a full disk
        try:
            raise full
        finally:
            raise RuntimeError('unexpected pos 768 vs 662')

    assert explain(raised(save)) == explain(full)
    assert explain(PermissionError(errno.EACCES, 'Permission denied', '/x')).startswith('/x: Perm')


def test_own_errors_are_told_and_those_of_others_are_not(monkeypatch):
    own = raised(config_path, 'vild/none.py')
    assert 'did you mean' in explain(own)
    device = raised(job_device, 'foo')
    assert explain(device) == str(device)
    assert explain(UserError('so it is')) == 'so it is'
    assert explain(FloatingPointError('loss is nan')) == 'loss is nan'
    for bug in (raised(int, 'x'), KeyError('x'), RuntimeError('x'), AssertionError()):
        assert explain(bug) is None
    monkeypatch.setenv('MMCLIP_TRACEBACK', '1')
    assert explain(own) is None


def test_types_and_arguments_of_a_config():
    unknown = raised(MODELS.build, dict(type='NoSuchThing'))
    assert explain(unknown).startswith('in the config: NoSuchThing is not in the mmengine::model')
    argument = raised(MODELS.build, dict(type='BaseDataPreprocessor', color=1))
    assert re.search("in the config: .*unexpected keyword argument 'color'", explain(argument))


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return config_path('vild/none.py')


def test_an_error_of_a_worker_process_is_its_last_line():
    loader = torch.utils.data.DataLoader(Broken(), num_workers=1)
    told = explain(raised(list, loader))
    assert told.startswith("no config 'vild/none.py'") and '\n' not in told


def test_tools_end_with_one_line_or_their_own_code(capsys):
    for result, code in ((None, 0), (3, 3), (['found'], 0)):
        with pytest.raises(SystemExit) as ended:
            run(lambda result=result: result)
        assert ended.value.code == code
    with pytest.raises(SystemExit, match='^error: invalid literal'):
        run(lambda: int('x'))
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


@pytest.mark.parametrize(
    'text, message',
    [
        ('a = 1\nb = dict(\n', r"config\.py, line 2: SyntaxError: '\(' was never closed"),
        ('a = {}\n\nb = a["q"]\n', r"config\.py, line 3: KeyError: 'q'"),
        ("_base_ = 'base.py'\n", r"base\.py, line 2: NameError: name 'c' is not defined"),
        ("_base_ = 'none.py'\n", r'config\.py: FileNotFoundError: .*none\.py'),
        ("_base_ = 'fine.py'\nm = dict(x=dict(y=1))\n", r'config\.py: TypeError: .*_delete_=True'),
        ('a = "\0"\n', r'config\.py: SyntaxError: source code string cannot contain null'),
    ],
)
def test_what_is_wrong_in_a_config_is_told_with_file_and_line(text, message, tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\nb = c\n')
    (tmp_path / 'fine.py').write_text('m = dict(x=5)\n')
    (tmp_path / 'config.py').write_text(text)
    error = raised(read_config, tmp_path / 'config.py')
    assert isinstance(error, ValueError) and re.search(message, explain(error))
    assert '\n' not in explain(error)


def test_a_config_by_name_and_one_that_is_not_there():
    assert read_config('configs/vild/mini/vild_text_r18_mini.py').model.type == 'mmclip.ViLD'
    with pytest.raises(FileNotFoundError, match='no file vild/none.py, and among mmclip'):
        read_config('vild/none.py')


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "from mmclip.user_errors import run; run(lambda: print('x\\n' * 100000))"
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b''
    assert process.returncode == 141
