"""The comparison of a host's tests with and without mmclip, on a made-up host."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'dev' / 'host_tests.py'
TESTS = """\
import sys
def test_same(): pass
def test_fails(): assert False
def test_cured(): assert 'mmclip' in sys.modules
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, TOOL, folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))


@pytest.mark.slow
def test_it_counts_what_is_broken_and_what_is_cured(tmp_path):
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'tests/test_a.py').write_text(TESTS)
    result = run(tmp_path, 'tests')
    assert result.returncode == 0, result.stderr
    assert '1 files: 0 broken, 1 cured' in result.stdout
    assert 'cured: tests.test_a::test_cured (failed -> passed)' in result.stdout
    more = "def test_broken(): assert 'mmclip' not in sys.modules\n"
    (tmp_path / 'tests/test_a.py').write_text(TESTS + more)
    result = run(tmp_path, 'tests/test_a.py')
    assert result.returncode == 1
    assert 'broken: tests.test_a::test_broken (passed -> failed)' in result.stdout
    assert run(tmp_path, 'tests/test_b.py').returncode == 2


@pytest.mark.slow
def test_what_was_not_run_is_no_success(tmp_path):
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'setup.cfg').write_text('[tool:pytest]\naddopts = --no-such-plugin\n')
    (tmp_path / 'tests/test_a.py').write_text('import no_such_module\n')
    (tmp_path / 'tests/test_b.py').write_text('def test_same(): pass\n')
    result = run(tmp_path, 'tests')
    assert result.returncode == 0 and 'plain: 1 failed, 1 passed' in result.stdout
    (tmp_path / 'tests/test_b.py').write_text('import os\nos._exit(3)\n')
    result = run(tmp_path, 'tests')
    assert result.returncode == 1
    assert 'not compared, since pytest did not end there: tests' in result.stdout
