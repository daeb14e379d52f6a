"""Installs everything mmclip needs into one environment; a second run is instant.

    python tools/setup_env.py            # the active virtual or conda environment, else ./.venv
    python tools/setup_env.py --print    # only say which interpreter that is

The environment is the active one if there is one (conda's `base` does not count), else `.venv` in
this folder. What is missing on the machine itself is said before anything is downloaded. A torch
that the environment already has in another version is never replaced silently: `--torch keep`
builds MMCV against it, `--torch replace` installs the tested one. A run that failed half-way is
continued by the next.

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
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'
STAMP = '.mmclip-setup'
PYTHONS = ((3, 11), (3, 12), (3, 10))
MMCV = 'mmcv==2.1.0'
OLDEST_TORCH = (2, 6)
GIGABYTES = 12


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
    if sys.prefix != sys.base_prefix:  # run by an environment's own interpreter
        return Path(sys.prefix), True
    active = os.environ.get('VIRTUAL_ENV')
    if not active and os.environ.get('CONDA_DEFAULT_ENV') != 'base':
        active = os.environ.get('CONDA_PREFIX')
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
    """Of everything that decides what is installed."""
    digest = hashlib.sha256(repr((python_version, str(ROOT))).encode())
    for path in [ROOT / 'setup.py', Path(__file__), *sorted(REQUIREMENTS.glob('*.txt'))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_stamp(stamp: Path) -> 'tuple[str, str]':
    """Fingerprint of the last finished set-up and its choice of torch; empty if there is none."""
    words = stamp.read_text().split() if stamp.is_file() else []
    return (words + ['', ''])[0], (words + ['', ''])[1]


def numbers(version: str) -> 'tuple[int, ...]':
    """``'2.11.0+cu130'`` as (2, 11)."""
    return tuple(int(part) for part in re.findall(r'\d+', version)[:2])


def wanted_torch() -> str:
    return (REQUIREMENTS / 'torch.txt').read_text().split('torch==')[1].split()[0]


def constraints(text: str, torch: str) -> str:
    """The tested versions, for an environment whose torch is another one.

    Args:
        text: Content of ``constraints.txt``.
        torch: Version that is there; what belongs to a torch (its torchvision) follows it.
    """
    names = ('torch', 'torchvision', 'torchaudio', 'triton')
    lines = [line for line in text.splitlines() if line.split('==')[0].strip() not in names]
    return '\n'.join([*lines, f'torch=={torch}', ''])


class Pip:
    """pip of one environment."""

    def __init__(self, python: str, log: Path) -> None:
        self.python, self.log = python, log
        self.constraints = REQUIREMENTS / 'constraints.txt'

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
            stop(
                f'this failed: {" ".join(command)}\n{tail}\nthe whole log is in {self.log}; '
                'the next run goes on from here'
            )
        return code == 0

    def install(self, *args: str, **kwargs: object) -> bool:
        return self.run('install', '-c', str(self.constraints), *args, **kwargs)

    def code(self, code: str) -> 'str | None':
        """What a snippet prints in the environment, None if it raises."""
        result = subprocess.run([self.python, '-c', code], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None

    def version(self, package: str) -> 'str | None':
        return self.code(f'from importlib.metadata import version; print(version("{package}"))')


def compiler() -> 'str | None':
    return next(
        (c for c in (os.environ.get('CXX'), 'c++', 'g++', 'clang++') if c and shutil.which(c)), None
    )


def lacking(python: str, folder: Path) -> 'list[str]':
    """What this machine lacks, each with what follows from it."""
    found = []
    if compiler() is None:
        found.append(
            'no C++ compiler was found: fine if a prebuilt MMCV wheel is (PIP_FIND_LINKS), else '
            'g++ is needed (e.g. apt install g++)'
        )
    code = 'import os, sysconfig as s; print(os.path.exists(s.get_path("include") + "/Python.h"))'
    result = subprocess.run([python, '-c', code], capture_output=True, text=True)
    if result.stdout.strip() == 'False':
        found.append(
            "Python's headers were not found: fine if a prebuilt MMCV wheel is, else they are "
            "needed (e.g. your system's python3-dev package)"
        )
    if sys.platform == 'linux' and ctypes.util.find_library('GL') is None:
        found.append('libGL was not found: the headless OpenCV will be used')
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    if free < GIGABYTES:
        found.append(f'{free:.0f} GB are free in {folder}; a full set-up needs about {GIGABYTES}')
    return found


def make_environment(base: str, folder: Path) -> None:
    say(f'making {folder} with Python {".".join(map(str, version_of(base)))}')
    if subprocess.call([base, '-m', 'venv', '--clear', str(folder)]):
        shutil.rmtree(folder, ignore_errors=True)
        stop(
            f'{base} cannot make virtual environments; install its venv module (e.g. the '
            'python3-venv package), or activate an environment of your own'
        )


def ensure_pip(pip: Pip) -> None:
    """Some tools make environments without pip."""
    if pip.code('import pip') is None:
        subprocess.call([pip.python, '-m', 'ensurepip', '--upgrade'], stdout=subprocess.DEVNULL)
    if pip.code('import pip') is None:
        stop(f'{pip.python} has no pip; install it (e.g. `uv pip install pip`) and run this again')


def install_torch(pip: Pip, choice: str) -> None:
    wanted, have = wanted_torch(), pip.version('torch')
    if have and have.split('+')[0] != wanted and choice != 'replace':
        if choice != 'keep':
            stop(
                f'this environment has torch {have}; mmclip is tested with {wanted}. Run '
                '`make setup TORCH=keep` to build against yours, `make setup TORCH=replace` to '
                'replace it, or deactivate the environment to get a fresh .venv'
            )
        if numbers(have) < OLDEST_TORCH:
            stop(f'torch {have} is too old, 2.6 is the oldest; run `make setup TORCH=replace`')
        say(f'torch {have} is kept (tested: {wanted})')
        text = pip.constraints.read_text()
        pip.constraints = pip.log.with_name('mmclip-constraints.txt')
        pip.constraints.write_text(constraints(text, have))
        pip.install('torchvision')
        return
    say(f'torch {wanted} (1-5 minutes, several GB on Linux)')
    pip.install('-r', str(REQUIREMENTS / 'torch.txt'))


def fix_opencv(pip: Pip) -> None:
    """Without libGL the desktop OpenCV cannot be imported; the headless one can."""
    if pip.version('opencv-python') is None or pip.code('import cv2') is not None:
        return
    say('the desktop OpenCV cannot be imported (libGL?): the headless one replaces it')
    pip.run('uninstall', '-y', 'opencv-python', 'opencv-contrib-python')
    pip.install('--force-reinstall', '--no-deps', 'opencv-contrib-python-headless')
    if pip.code('import cv2') is None:
        stop(f'OpenCV cannot be imported: run `{pip.python} -c "import cv2"` to see why')


def has_mmcv_ops(pip: Pip) -> bool:
    fix_opencv(pip)  # MMCV imports it
    return pip.code('import mmcv, mmcv.ops; assert mmcv.__version__ == "2.1.0"') is not None


def build_mmcv(pip: Pip, *flags: str) -> None:
    """MMCV from its source release.

    Without ``--no-build-isolation`` its build finds no torch and leaves the operators out.
    """
    pip.install('--no-build-isolation', *flags, env={'MMCV_WITH_OPS': '1'})


def ask_for_cxx20(setup: str) -> str:
    """MMCV's setup.py asking for C++20 where it asks for C++14 or C++17."""
    return re.sub(r'-std=c\+\+1[47]', '-std=c++20', setup)


def build_mmcv_cxx20(pip: Pip) -> None:
    """torch >= 2.14 needs C++20: build a patched source tree."""
    with tempfile.TemporaryDirectory() as folder:
        download = ('--no-deps', '--no-build-isolation', '--no-binary', 'mmcv', '-d', folder)
        pip.run('download', *download, MMCV)
        shutil.unpack_archive(str(next(Path(folder).glob('mmcv-*.tar.gz'))), folder)
        source = next(path for path in Path(folder).glob('mmcv-*') if path.is_dir())
        script = source / 'setup.py'
        script.write_text(ask_for_cxx20(script.read_text()))
        build_mmcv(pip, str(source))


def check_cuda_compiler(pip: Pip) -> None:
    """MMCV's build wants nvcc as soon as torch sees a GPU."""
    cuda = pip.code('import torch; print(torch.cuda.is_available() and torch.version.cuda or "")')
    home = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH') or '/usr/local/cuda'
    if cuda and not shutil.which('nvcc') and not Path(home, 'bin', 'nvcc').exists():
        stop(
            'this machine has a GPU but no CUDA compiler (nvcc), with which MMCV is built for it: '
            f'install the CUDA toolkit {cuda} (e.g. `conda install -c nvidia cuda-toolkit={cuda}`)'
            ', or run `CUDA_VISIBLE_DEVICES= make setup` for an MMCV that works on the CPU only'
        )


def install_mmcv(pip: Pip) -> None:
    """MMCV with its operators: a wheel that fits if one is found, else built from source."""
    if has_mmcv_ops(pip):
        return
    if pip.install('--only-binary', 'mmcv', MMCV, required=False) and has_mmcv_ops(pip):
        say('MMCV 2.1.0 from a prebuilt wheel')
        return
    pip.run('uninstall', '-y', 'mmcv', required=False)
    if compiler() is None:
        stop('a C++ compiler is needed to build MMCV (e.g. apt install g++); none was found')
    check_cuda_compiler(pip)
    say(
        'MMCV 2.1.0 is built from source with its operators: about 12 minutes on two cores, more '
        f'with CUDA (pip keeps the result for the next environment; progress: tail -f {pip.log})'
    )
    if numbers(pip.version('torch')) >= (2, 14):
        build_mmcv_cxx20(pip)
    else:
        build_mmcv(pip, MMCV)
        if not has_mmcv_ops(pip):  # pip's cache held a build for another torch
            build_mmcv(pip, '--no-cache-dir', '--force-reinstall', '--no-deps', MMCV)
    if not has_mmcv_ops(pip):
        stop(f'MMCV was built without working operators; see {pip.log}')


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

    version = version_of(python)
    if version and version not in PYTHONS:
        stop(
            f'the environment {folder} has Python {".".join(map(str, version))}; 3.10, 3.11 or '
            f'3.12 is needed: {"deactivate" if active else "remove"} it and run this again'
        )
    if active and not version:
        stop(f'the active environment {folder} has no interpreter bin/python')
    stamp = folder / STAMP
    finished, choice = read_stamp(stamp)
    if version and finished == fingerprint(version) and args.torch != 'replace':
        return
    if args.torch == 'tested' and choice == 'keep':
        args.torch = 'keep'

    base = python if version else base_python()
    for message in lacking(base, folder):
        say(message)
    if not version:
        make_environment(base, folder)
        version = version_of(python)
    if stamp.exists():  # from here on the environment is between two states
        stamp.unlink()

    pip = Pip(python, folder / 'mmclip-setup.log')
    say(f'installing into {folder} (log: {pip.log})')
    ensure_pip(pip)
    pip.install('-r', str(REQUIREMENTS / 'build.txt'))
    install_torch(pip, args.torch)
    install_mmcv(pip)
    say('the hosts and the libraries (about a minute)')
    names = ('build', 'mminstall', 'runtime', 'video', 'points', 'tests')
    pip.install(*(arg for name in names for arg in ('-r', str(REQUIREMENTS / f'{name}.txt'))))
    fix_opencv(pip)
    pip.install('--no-build-isolation', '--no-deps', '-e', str(ROOT))
    stamp.write_text(f'{fingerprint(version)}\n{args.torch}\n')
    say('done; `python tools/check_env.py` shows what is there')


if __name__ == '__main__':
    main()
