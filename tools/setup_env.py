"""Installs everything mmclip needs into one environment; a second run is instant.

    python tools/setup_env.py            # the active virtual or conda environment, else ./.venv
    python tools/setup_env.py --print    # only say which interpreter that is

The environment is the active one if there is one, else ``.venv`` in this folder. What is missing
on the machine itself is said before anything is downloaded. A torch that the environment already
has in another version is never replaced silently: ``--torch keep`` builds MMCV against it,
``--torch replace`` installs the tested one.

Uses the standard library only and runs on any Python >= 3.8.
"""

import argparse
import ctypes.util
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'
STAMP = '.mmclip-setup'
PYTHONS = ((3, 11), (3, 12), (3, 10))
MMCV = 'mmcv==2.1.0'


def stop(message: str) -> None:
    sys.exit(f'setup: {message}')


def say(message: str) -> None:
    print(f'setup: {message}', flush=True)


def version_of(python: str) -> 'tuple[int, int] | None':
    code = 'import sys; print(*sys.version_info[:2])'
    try:
        result = subprocess.run([python, '-c', code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = result.stdout.split()
    return int(major), int(minor)


def environment() -> 'tuple[Path, bool]':
    """Folder of the environment to use and whether it is the active one."""
    active = os.environ.get('VIRTUAL_ENV') or os.environ.get('CONDA_PREFIX')
    return (Path(active), True) if active else (ROOT / '.venv', False)


def base_python() -> str:
    """An interpreter of a supported version to make ``.venv`` with."""
    candidates = [sys.executable, *(f'python{a}.{b}' for a, b in PYTHONS)]
    for candidate in candidates:
        if version_of(candidate) in PYTHONS:
            return candidate
    stop(
        'Python 3.10, 3.11 or 3.12 is needed and none was found on PATH '
        f"(this is {sys.version.split()[0]}); install one, e.g. your system's python3.11 package"
    )


def fingerprint(python_version: 'tuple[int, int]') -> str:
    digest = hashlib.sha256(repr((python_version, str(ROOT))).encode())
    for path in [ROOT / 'setup.py', Path(__file__), *sorted(REQUIREMENTS.glob('*.txt'))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Pip:
    """pip of one environment."""

    def __init__(self, python: str, log: Path) -> None:
        self.python, self.log = python, log

    def run(self, *args: str, env: 'dict | None' = None, required: bool = True) -> bool:
        command = [self.python, '-m', 'pip', '--disable-pip-version-check', *args]
        with self.log.open('a') as log:
            log.write(f'\n$ {" ".join(command)}\n')
            log.flush()
            code = subprocess.call(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
            )
        if code and required:
            tail = '\n'.join(self.log.read_text(errors='replace').splitlines()[-15:])
            stop(f'this failed: {" ".join(command)}\n{tail}\nthe whole log is in {self.log}')
        return code == 0

    def install(self, *args: str, **kwargs: object) -> bool:
        return self.run('install', '-c', str(REQUIREMENTS / 'constraints.txt'), *args, **kwargs)

    def code(self, code: str) -> 'str | None':
        """What a snippet prints in the environment, None if it raises."""
        result = subprocess.run([self.python, '-c', code], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None


def compiler() -> 'str | None':
    return next(
        (c for c in (os.environ.get('CXX'), 'c++', 'g++', 'clang++') if c and shutil.which(c)), None
    )


def install_torch(pip: Pip, choice: str) -> None:
    wanted = (REQUIREMENTS / 'torch.txt').read_text().split('torch==')[1].split()[0]
    have = pip.code('import torch; print(torch.__version__)')
    if have and have.split('+')[0] != wanted and choice != 'replace':
        if choice != 'keep':
            stop(
                f'this environment has torch {have}; mmclip is tested with {wanted}. Run '
                '`make setup TORCH=keep` to build against yours, `make setup TORCH=replace` to '
                'replace it, or deactivate the environment to get a fresh .venv'
            )
        say(f'torch {have} is kept (tested: {wanted})')
        return
    say(f'torch {wanted} (1-5 minutes, several GB on Linux)')
    pip.install('-r', str(REQUIREMENTS / 'torch.txt'))


def has_mmcv_ops(pip: Pip) -> bool:
    return pip.code('import mmcv, mmcv.ops; assert mmcv.__version__ == "2.1.0"') is not None


def build_mmcv_cxx20(pip: Pip) -> None:
    """torch >= 2.14 needs C++20 and MMCV 2.1.0 asks for C++14/17: build a patched source tree."""
    with tempfile.TemporaryDirectory() as folder:
        pip.run(
            'download',
            '--no-deps',
            '--no-build-isolation',
            '--no-binary',
            'mmcv',
            '-d',
            folder,
            MMCV,
        )
        with tarfile.open(next(Path(folder).glob('mmcv-*.tar.gz'))) as archive:
            archive.extractall(folder, filter='data')
        source = next(path for path in Path(folder).glob('mmcv-*') if path.is_dir())
        script = source / 'setup.py'
        script.write_text(re.sub(r'-std=c\+\+1[47]', '-std=c++20', script.read_text()))
        pip.install('--no-build-isolation', '--no-deps', str(source), env={'MMCV_WITH_OPS': '1'})


def install_mmcv(pip: Pip) -> None:
    """MMCV with its operators: a wheel that fits if one is found, else built from source."""
    if has_mmcv_ops(pip):
        return
    if pip.install('--only-binary', 'mmcv', MMCV, required=False) and has_mmcv_ops(pip):
        say('MMCV 2.1.0 from a prebuilt wheel')
        return
    pip.run('uninstall', '-y', 'mmcv', required=False)
    if compiler() is None:
        stop('a C++ compiler is needed to build MMCV (e.g. the g++ package); none was found')
    say(
        'MMCV 2.1.0 is built from source with its operators: about 12 minutes on two cores '
        '(pip keeps the result for the next environment)'
    )
    torch_version = pip.code('import torch; print(*torch.__version__.split(".")[:2])')
    flags = ('--no-build-isolation', MMCV)
    if tuple(map(int, torch_version.split())) >= (2, 14):
        build_mmcv_cxx20(pip)
    else:
        pip.install(*flags, env={'MMCV_WITH_OPS': '1'})
        if not has_mmcv_ops(pip):  # pip's cache held a build for another torch
            pip.install(
                '--no-cache-dir',
                '--force-reinstall',
                '--no-deps',
                *flags,
                env={'MMCV_WITH_OPS': '1'},
            )
    if not has_mmcv_ops(pip):
        stop(f'MMCV was built without working operators; see {pip.log}')


def fix_opencv(pip: Pip) -> None:
    """Without libGL the desktop OpenCV cannot be imported; the headless one can."""
    if pip.code('import cv2') is None:
        say('libGL is missing on this machine: the headless OpenCV replaces the desktop one')
        pip.run('uninstall', '-y', 'opencv-python', 'opencv-contrib-python')
        pip.install('opencv-contrib-python-headless')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--print', action='store_true', help='print the interpreter and stop')
    parser.add_argument('--torch', choices=('tested', 'keep', 'replace'), default='tested')
    args = parser.parse_args()

    folder, active = environment()
    python = str(folder / 'bin' / 'python')
    if args.print:
        print(python)
        return

    version = version_of(python) if active or Path(python).exists() else None
    if active and version not in PYTHONS:
        stop(f'the active environment {folder} has Python {version}; 3.10, 3.11 or 3.12 is needed')
    stamp = folder / STAMP
    if version and stamp.is_file() and stamp.read_text() == fingerprint(version):
        return

    if compiler() is None:
        say('no C++ compiler was found: fine if a prebuilt MMCV wheel is, else g++ is needed')
    if sys.platform == 'linux' and ctypes.util.find_library('GL') is None:
        say('libGL was not found: the headless OpenCV will be used')
    if version is None:
        base = base_python()
        say(f'making {folder} with Python {".".join(map(str, version_of(base)))}')
        subprocess.check_call([base, '-m', 'venv', str(folder)])
        version = version_of(python)

    pip = Pip(python, folder / 'mmclip-setup.log')
    say(f'installing into {folder} (log: {pip.log})')
    pip.install('-r', str(REQUIREMENTS / 'build.txt'))
    install_torch(pip, args.torch)
    install_mmcv(pip)
    say('the hosts and the libraries (about a minute)')
    names = ('build', 'mminstall', 'runtime', 'video', 'tests')
    pip.install(*(arg for name in names for arg in ('-r', str(REQUIREMENTS / f'{name}.txt'))))
    fix_opencv(pip)
    pip.install('--no-build-isolation', '--no-deps', '-e', str(ROOT))
    stamp.write_text(fingerprint(version))
    say('done')


if __name__ == '__main__':
    main()
