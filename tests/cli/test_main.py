"""The program ``mmclip`` and the tools: the same commands, and options that stay."""

import sys

import pytest

from mmclip.cli import main as program
from mmclip.cli import test as test_command
from mmclip.cli import train as train_command


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, 'argv', ['mmclip', *arguments])
    try:
        program.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    out, err = capsys.readouterr()
    return code, out, err if not isinstance(code, str) else f'{err}{code}'


def test_without_a_command_it_lists_them(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys)
    assert code == 0 and all(f'\n  {name} ' in out for name in program.COMMANDS)
    assert len(out.splitlines()) < 24 and out.splitlines()[-1].startswith('mmclip predict')


def test_an_unknown_command_names_a_near_one(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, 'tran')
    assert code == 2 and "no command 'tran'; did you mean train?" in err


@pytest.mark.parametrize('name', sorted(set(program.COMMANDS) - {'doctor', 'data'}))
def test_every_command_has_help_under_its_name(name, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, name, '--help')
    assert code == 0 and out.startswith(f'usage: mmclip {name} ')


def test_configs_are_listed_by_method(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, 'list')
    assert code == 0 and 'vild ' in out and 'glipv2 ' in out
    code, out, _ = run(monkeypatch, capsys, 'list', 'vild')
    assert code == 0 and 'vild/vild_r50_lvis.py' in out
    code, _, err = run(monkeypatch, capsys, 'list', 'vidl')
    assert code != 0 and 'did you mean vild' in err


def test_an_unknown_dataset_names_those_that_are_known(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, 'data', 'cocoo')
    assert code != 0 and 'mini_world' in err and 'coco20i' in err


SHARED = {'config', '--work-dir', '--cfg-options', '--launcher', '--local_rank', '--local-rank'}
SHARED |= {'--allow-mismatch', '-h', '--help'}


@pytest.mark.parametrize(
    ('command', 'own'),
    [
        (train_command, {'--resume', '--amp', '--auto-scale-lr'}),
        (
            test_command,
            {'checkpoint', '--out', '--show', '--show-dir', '--wait-time', '--tta'},
        ),
    ],
)
def test_options_of_train_and_test_stay(command, own, monkeypatch):
    """OpenMMLab's users and their scripts know these."""
    found = set()
    add = command.argparse.ArgumentParser.add_argument

    def record(self, *names, **settings):
        found.update(names)
        return add(self, *names, **settings)

    monkeypatch.setattr(command.argparse.ArgumentParser, 'add_argument', record)
    monkeypatch.setattr(sys, 'argv', ['x', 'c.py'])
    command.parse_args()
    assert found == SHARED | own
