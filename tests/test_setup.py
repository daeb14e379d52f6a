"""Set-up and check: decisions without installing anything, and messages that say what to do."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'


@pytest.fixture
def setup_env(monkeypatch):
    spec = importlib.util.spec_from_file_location('setup_env', ROOT / 'tools' / 'setup_env.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ('VIRTUAL_ENV', 'CONDA_PREFIX', 'CONDA_DEFAULT_ENV', 'CUDA_HOME', 'CUDA_PATH'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, 'prefix', sys.base_prefix)
    return module


def interpreter(folder, name, version) -> Path:
    """Something that answers as a Python of a version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho {version}\n')
    path.chmod(0o755)
    return path


# Which environment, which interpreter.


@pytest.mark.parametrize(
    'variables, expected',
    [
        ({}, (ROOT / '.venv', False)),
        ({'VIRTUAL_ENV': '/v'}, (Path('/v'), True)),
        ({'CONDA_PREFIX': '/c', 'CONDA_DEFAULT_ENV': 'mine'}, (Path('/c'), True)),
        ({'CONDA_PREFIX': '/c', 'CONDA_DEFAULT_ENV': 'base'}, (ROOT / '.venv', False)),
        (
            {'VIRTUAL_ENV': '/v', 'CONDA_PREFIX': '/c', 'CONDA_DEFAULT_ENV': 'base'},
            (Path('/v'), True),
        ),
    ],
)
def test_the_active_environment_is_used(setup_env, monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert setup_env.environment() == expected


def test_an_environments_own_interpreter_means_that_environment(setup_env, monkeypatch):
    monkeypatch.setattr(sys, 'prefix', '/mine')
    assert setup_env.environment() == (Path('/mine'), True)


def test_the_base_python_is_a_supported_one(setup_env, monkeypatch, tmp_path):
    old = interpreter(tmp_path, 'python', '3 13')
    monkeypatch.setattr(sys, 'executable', str(old))
    interpreter(tmp_path, 'python3.10', '3 10')
    monkeypatch.setenv('PATH', f'{tmp_path}:/bin:/usr/bin/nothing')
    assert setup_env.base_python() in ('python3.10', 'python3.11', 'python3.12')
    interpreter(tmp_path, 'python3.11', '3 11')
    assert setup_env.base_python() == 'python3.11'
    interpreter(tmp_path, 'python', '3 12')
    assert setup_env.base_python() == str(old)


def test_no_supported_python_says_which(setup_env, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, 'executable', str(interpreter(tmp_path, 'python', '3 9')))
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setattr(setup_env, 'version_of', lambda python: (3, 9))
    with pytest.raises(SystemExit, match=r'3\.10, 3\.11 or 3\.12 is needed'):
        setup_env.base_python()


def test_what_does_not_run_has_no_version(setup_env, tmp_path):
    assert setup_env.version_of(str(tmp_path / 'nowhere')) is None
    assert setup_env.version_of('/bin/false') is None
    assert setup_env.version_of(sys.executable) == sys.version_info[:2]


# The stamp.


def test_the_fingerprint_follows_what_is_installed(setup_env, monkeypatch, tmp_path):
    for path in REQUIREMENTS.glob('*.txt'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(setup_env, 'REQUIREMENTS', tmp_path)
    first = setup_env.fingerprint((3, 11))
    assert first == setup_env.fingerprint((3, 11))
    assert first != setup_env.fingerprint((3, 12))
    (tmp_path / 'runtime.txt').write_text('numpy')
    assert first != setup_env.fingerprint((3, 11))


@pytest.mark.parametrize(
    'content, expected',
    [(None, ('', '')), ('', ('', '')), ('abc', ('abc', '')), ('abc\nkeep\n', ('abc', 'keep'))],
)
def test_stamps_of_every_age_are_read(setup_env, tmp_path, content, expected):
    if content is not None:
        (tmp_path / 'stamp').write_text(content)
    assert setup_env.read_stamp(tmp_path / 'stamp') == expected


# Requirement files.


def lines(name) -> list[str]:
    text = (REQUIREMENTS / name).read_text().splitlines()
    return [line for line in text if line.strip() and not line.startswith('#')]


def test_constraints_pin_python_311_and_bind_no_other():
    pins = [Requirement(line) for line in lines('constraints.txt')]
    for pin in pins:
        assert re.fullmatch(r'==[^*,]+', str(pin.specifier)), pin
        assert pin.marker.evaluate({'python_version': '3.11'})
        assert not pin.marker.evaluate({'python_version': '3.10'})
        assert not pin.marker.evaluate({'python_version': '3.12'})
    names = [pin.name.lower().replace('_', '-') for pin in pins]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    'name', ['torch', 'mminstall', 'runtime', 'video', 'points', 'tests', 'build']
)
def test_what_was_tested_is_within_what_is_allowed(name):
    pins = {
        pin.name.lower().replace('_', '-'): pin
        for pin in map(Requirement, lines('constraints.txt'))
    }
    for wanted in map(Requirement, lines(f'{name}.txt')):
        pin = pins.get(wanted.name.lower().replace('_', '-'))
        if pin is None:
            assert wanted.name == 'setuptools', f'{wanted.name} is not in constraints.txt'
            continue
        assert wanted.specifier.contains(str(pin.specifier).removeprefix('==')), pin


def test_an_install_of_the_package_never_replaces_torch_or_mmcv():
    names = {Requirement(line).name for line in lines('runtime.txt')}
    assert not names & {'torch', 'torchvision', 'mmcv', 'mmdet', 'mmsegmentation', 'mmaction2'}


def test_constraints_follow_a_kept_torch(setup_env):
    text = (REQUIREMENTS / 'constraints.txt').read_text()
    kept = setup_env.constraints(text, '2.14.1+cu130')
    assert 'torch==2.14.1+cu130' in kept.splitlines()
    for gone in ('torch==2.11.0', 'torchvision==', 'triton=='):
        assert gone not in kept
    assert 'numpy==' in kept and 'open_clip_torch==' in kept


# The steps, with a pip that only takes notes.


class Notes:
    """Stands for `setup_env.Pip`: records calls; `facts` answers questions about the environment.

    Args:
        facts: Versions by package; 'ops' is a list of what each look at MMCV's operators finds.
    """

    def __init__(self, folder, **facts):
        self.facts, self.calls, self.log = facts, [], folder / 'log'
        self.python, self.constraints = 'python', REQUIREMENTS / 'constraints.txt'

    def run(self, *args, env=None, required=True):
        self.calls.append((' '.join(args), env or {}))
        return self.facts.get(args[0], True)

    def install(self, *args, **kwargs):
        return self.run('install', *args, **kwargs)

    def version(self, package):
        return self.facts.get(package)

    def code(self, code):
        if 'mmcv.ops' in code:
            return '' if self.facts['ops'].pop(0) else None
        return self.facts.get('cuda', '') if 'cuda' in code else ''


@pytest.fixture
def notes(tmp_path):
    return lambda **facts: Notes(tmp_path, **facts)


def test_torch_that_fits_or_is_missing_is_installed_as_tested(setup_env, notes):
    wanted = setup_env.wanted_torch()
    for have in (None, wanted, f'{wanted}+cpu'):
        pip = notes(torch=have)
        setup_env.install_torch(pip, 'tested')
        assert [call for call, _ in pip.calls] == [f'install -r {REQUIREMENTS}/torch.txt']


def test_another_torch_is_never_replaced_silently(setup_env, notes):
    with pytest.raises(SystemExit, match=r'2\.9\.1.*TORCH=keep.*TORCH=replace'):
        setup_env.install_torch(notes(torch='2.9.1'), 'tested')
    pip = notes(torch='2.9.1')
    setup_env.install_torch(pip, 'replace')
    assert 'torch.txt' in pip.calls[0][0]
    pip = notes(torch='2.14.1+cu130')
    setup_env.install_torch(pip, 'keep')
    assert pip.calls == [('install torchvision', {})]
    assert 'torch==2.14.1+cu130' in pip.constraints.read_text()
    with pytest.raises(SystemExit, match='too old'):
        setup_env.install_torch(notes(torch='2.5.0'), 'keep')


def test_a_prebuilt_mmcv_is_enough(setup_env, notes, monkeypatch):
    monkeypatch.setattr(setup_env, 'compiler', lambda: None)
    pip = notes(ops=[False, True])
    setup_env.install_mmcv(pip)
    assert [call for call, _ in pip.calls] == ['install --only-binary mmcv mmcv==2.1.0']
    pip = notes(ops=[True])
    setup_env.install_mmcv(pip)
    assert pip.calls == []


def test_mmcv_is_built_with_operators_and_says_how_long(setup_env, notes, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, 'compiler', lambda: 'c++')
    pip = notes(ops=[False, False, True, True], torch='2.11.0')
    setup_env.install_mmcv(pip)
    call, env = pip.calls[-1]
    assert call == 'install --no-build-isolation mmcv==2.1.0' and env == {'MMCV_WITH_OPS': '1'}
    assert 'about 12 minutes' in capsys.readouterr().out


def test_a_cached_mmcv_of_another_torch_is_built_anew(setup_env, notes, monkeypatch):
    monkeypatch.setattr(setup_env, 'compiler', lambda: 'c++')
    pip = notes(ops=[False, False, False, True], torch='2.11.0')
    setup_env.install_mmcv(pip)
    call, env = pip.calls[-1]
    assert '--no-cache-dir --force-reinstall --no-deps mmcv==2.1.0' in call
    assert env == {'MMCV_WITH_OPS': '1'}
    with pytest.raises(SystemExit, match='without working operators'):
        setup_env.install_mmcv(notes(ops=[False] * 5, torch='2.11.0'))


def test_mmcv_on_a_new_torch_is_built_with_cxx20(setup_env, notes, monkeypatch, tmp_path):
    monkeypatch.setattr(setup_env, 'compiler', lambda: 'c++')
    source = tmp_path / 'mmcv-2.1.0'
    source.mkdir()
    script = "cxx = ['-std=c++14'] if old else ['-std=c++17', '-O2']\nnvcc = ['-std=c++17']\n"
    (source / 'setup.py').write_text(script)
    seen = []

    class Downloading(Notes):
        def run(self, *args, **kwargs):
            if args[0] == 'download':
                import tarfile

                with tarfile.open(Path(args[-2]) / 'mmcv-2.1.0.tar.gz', 'w:gz') as archive:
                    archive.add(source, 'mmcv-2.1.0')
            elif args[-1].endswith('mmcv-2.1.0'):
                seen.append((Path(args[-1]) / 'setup.py').read_text())
            return super().run(*args, **kwargs)

    pip = Downloading(tmp_path, ops=[False, False, True], torch='2.14.1')
    setup_env.install_mmcv(pip)
    assert seen == [re.sub('c[+][+]1[47]', 'c++20', script)]
    assert pip.calls[-1][0].startswith('install --no-build-isolation ')
    assert pip.calls[-1][1] == {'MMCV_WITH_OPS': '1'}


def test_building_without_compilers_says_which(setup_env, notes, monkeypatch):
    monkeypatch.setattr(setup_env, 'compiler', lambda: None)
    with pytest.raises(SystemExit, match=r'C\+\+ compiler'):
        setup_env.install_mmcv(notes(ops=[False, False], torch='2.11.0'))
    monkeypatch.setattr(setup_env, 'compiler', lambda: 'c++')
    monkeypatch.setenv('PATH', '/nowhere')
    monkeypatch.setenv('CUDA_HOME', '/nowhere')
    with pytest.raises(SystemExit, match=r'nvcc.*13\.0'):
        setup_env.install_mmcv(notes(ops=[False, False], torch='2.11.0', cuda='13.0'))


def test_the_headless_opencv_comes_only_where_the_other_fails(setup_env, notes, monkeypatch):
    pip = notes(**{'opencv-python': '5.0'})
    setup_env.fix_opencv(pip)
    assert pip.calls == []
    answers = iter([None, ''])
    monkeypatch.setattr(pip, 'code', lambda code: next(answers))
    setup_env.fix_opencv(pip)
    assert [call.split()[0] for call, _ in pip.calls] == ['uninstall', 'install']
    assert 'opencv-contrib-python-headless' in pip.calls[1][0]


def test_what_the_machine_lacks(setup_env, monkeypatch, tmp_path):
    monkeypatch.setattr(setup_env, 'compiler', lambda: None)
    monkeypatch.setattr(setup_env.ctypes.util, 'find_library', lambda name: None)
    monkeypatch.setattr(setup_env, 'GIGABYTES', 10**9)
    found = '\n'.join(setup_env.lacking('/bin/false', tmp_path / 'new' / 'folder'))
    for words in ('C++ compiler', 'libGL', 'GB are free'):
        assert words in found
    script = interpreter(tmp_path, 'python', 'False')
    assert any('headers' in message for message in setup_env.lacking(str(script), tmp_path))


# The whole run.


def run_main(setup_env, monkeypatch, folder, steps, *arguments):
    """`main` in an environment that is there, with the steps replaced."""
    interpreter(folder / 'bin', 'python', '3 11')
    monkeypatch.setenv('VIRTUAL_ENV', str(folder))
    monkeypatch.setattr(sys, 'argv', ['setup_env.py', *arguments])

    class Pip(Notes):
        def __init__(self, python, log):
            super().__init__(log.parent)
            self.calls = steps

        def install(self, *args, **kwargs):
            self.calls.append(' '.join(args))
            if steps and steps[0] == 'break' and 'mminstall' in steps[-1]:
                setup_env.stop('cut off')
            return True

    monkeypatch.setattr(setup_env, 'Pip', Pip)
    for name in ('install_torch', 'install_mmcv', 'ensure_pip', 'fix_opencv', 'lacking'):
        monkeypatch.setattr(
            setup_env, name, lambda *args, _name=name: steps.append((_name, *args[1:])) or []
        )
    setup_env.main()


def test_a_second_run_does_nothing_and_a_failed_one_is_continued(setup_env, monkeypatch, tmp_path):
    stamp = tmp_path / setup_env.STAMP
    stamp.write_text('of older requirements')
    with pytest.raises(SystemExit, match='cut off'):
        run_main(setup_env, monkeypatch, tmp_path, ['break'])
    assert not stamp.exists()
    steps = []
    run_main(setup_env, monkeypatch, tmp_path, steps, '--torch', 'keep')
    assert ('install_torch', 'keep') in steps and any('-e' in str(step) for step in steps)
    steps = []
    run_main(setup_env, monkeypatch, tmp_path, steps)
    assert steps == []
    stamp.write_text('older\nkeep')
    run_main(setup_env, monkeypatch, tmp_path, steps)
    assert ('install_torch', 'keep') in steps, 'the choice is remembered'
    steps = []
    run_main(setup_env, monkeypatch, tmp_path, steps, '--torch', 'replace')
    assert ('install_torch', 'replace') in steps, 'asked for although set up'


def test_an_environment_of_another_python_is_refused(setup_env, monkeypatch, tmp_path):
    interpreter(tmp_path / 'bin', 'python', '3 13')
    monkeypatch.setenv('VIRTUAL_ENV', str(tmp_path))
    monkeypatch.setattr(sys, 'argv', ['setup_env.py'])
    with pytest.raises(SystemExit, match=r'has Python 3\.13.*deactivate'):
        setup_env.main()


def test_a_failing_pip_shows_the_end_of_its_log(setup_env, tmp_path):
    pip = setup_env.Pip(sys.executable, tmp_path / 'log')
    with pytest.raises(SystemExit, match=r'(?s)no-such-option.*whole log is in .*log'):
        pip.run('install', '--no-such-option')
    assert pip.run('install', '--no-such-option', required=False) is False
    assert pip.version('pytest') and pip.version('no-such-package-here') is None


def test_the_commands_do_set_up_then_lint_then_tests():
    out = subprocess.run(
        ['make', '-n', 'test'], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    order = ['setup_env.py --torch tested', 'ruff check .', 'ruff format --check .', 'pytest tests']
    positions = [out.index(words) for words in order]
    assert positions == sorted(positions)
    script = ROOT / '.ci' / 'run'
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith('make test')


# The check.


def check(*, python=sys.executable, options=(), path='') -> tuple[int, str]:
    result = subprocess.run(
        [python, *options, str(ROOT / 'tools' / 'check_env.py')],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(path)},
    )
    assert 'Traceback' not in result.stdout + result.stderr, result.stdout + result.stderr
    return result.returncode, result.stdout


@pytest.mark.slow
def test_the_check_finds_this_environment_well():
    code, out = check()
    assert code == 0 and 'PROBLEM' not in out, out
    for row in ('ok      checkpoints', 'ok      roi_align', 'ok      mmaction', 'ok      MMCV'):
        assert row in out


def test_the_check_needs_nothing_installed():
    code, out = check(options=('-I', '-S'))
    assert code == 1
    for line in ('torch is not installed', 'mmcv is not installed', 'remedy: run `make setup`'):
        assert line in out


def test_the_check_says_what_is_broken(tmp_path):
    (tmp_path / 'torchvision.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    (tmp_path / 'cv2.py').write_text("raise ImportError('libGL.so.1: cannot open shared object')")
    (tmp_path / 'pkg_resources.py').write_text("raise ModuleNotFoundError(name='pkg_resources')")
    mmcv = tmp_path / 'mmcv'
    mmcv.mkdir()
    (mmcv / '__init__.py').write_text("__version__ = '2.1.0'")
    code, out = check(path=tmp_path)
    assert code == 1
    for words in (
        'torchvision::nms does not exist',
        'torchvision does not fit this torch',
        'libGL is missing',
        "setuptools<81'",
        'MMCV was built without its operators',
    ):
        assert words in out, out
