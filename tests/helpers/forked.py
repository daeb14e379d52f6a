"""Run scripts in processes of their own that need not import torch and the hosts again.

Each is forked from a server that has imported them: the same isolation, signals and exit codes as
``subprocess`` gives, without several seconds of imports. What is tested about the imports
themselves, or about an installed package, still needs ``subprocess``.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(
    ['forked', 'toy_parts', 'mmclip.models', 'mmclip.datasets', 'mmclip.evaluation']
    + ['mmclip.engine', 'mmclip.engine.cli', 'cv2', 'torchvision', 'pytest']
)


def as_interpreter(arguments: list[str], cwd: str, logs: tuple[str, str], environ: dict) -> None:
    """In a fresh process: what the interpreter does with a script and its arguments."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    # As a child of a shell has them, whatever the parent ignores.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, log in enumerate(logs, start=1):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = open(1, 'w', buffering=1, closefd=False)
    sys.stderr = open(2, 'w', buffering=1, closefd=False)
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    import torch

    torch.set_num_threads(1)
    runpy.run_path(arguments[0], run_name='__main__')


class Forked:
    """A script that runs in a forked process, with the parts of ``subprocess.Popen`` used here.

    Args:
        script: Path of the script; relative ones are below the repository's root.
        arguments: Its arguments.
        cwd: Folder in which it runs.
        environ: Its whole environment; by default that of this process.
    """

    def __init__(self, script, *arguments, cwd='.', environ: dict | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._logs = tuple(f'{self._folder.name}/{name}' for name in ('stdout', 'stderr'))
        self.args = [str(ROOT / script), *map(str, arguments)]
        environ = dict(os.environ if environ is None else environ)
        options = (self.args, str(Path(cwd).resolve()), self._logs, environ)
        self._process = CONTEXT.Process(target=as_interpreter, args=options)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 300) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise AssertionError(f'{self.args} hangs\n{self.output()}')
        return self._process.exitcode

    def output(self) -> tuple[str, str]:
        """What it has written to stdout and stderr."""
        texts = [Path(log).read_text() if Path(log).exists() else '' for log in self._logs]
        return texts[0], texts[1]


def run(script, *arguments, cwd='.', environ=None) -> subprocess.CompletedProcess:
    """Run a script to its end, as ``subprocess.run`` with captured text does."""
    process = Forked(script, *arguments, cwd=cwd, environ=environ)
    code = process.wait()
    return subprocess.CompletedProcess(process.args, code, *process.output())


def run_ranks(script, *arguments, count: int = 2) -> None:
    """Run ``script RANK arguments…`` for all ranks at the same time; each must end well."""
    ranks = [Forked(script, rank, *arguments) for rank in range(count)]
    codes = [rank.wait() for rank in ranks]
    assert codes == [0] * count, '\n'.join(rank.output()[1][-3000:] for rank in ranks)
