"""An installed mmclip in an empty folder, under its own tools and under mmdet's."""

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOWNSTREAM = """\
_base_ = __import__('mmclip').config_path('vild/mini/vild_text_r18_mini.py')
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2, val_interval=100)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
custom_hooks = [dict(type='mmclip.VocabularyHook')]
"""


@pytest.fixture(scope='module')
def wheel_site(tmp_path_factory) -> Path:
    """Folder that holds the unpacked wheel, to be put first on the path."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    # A copy of what git tracks: a build must neither see nor leave anything in the checkout.
    files = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split('\0')
    for name in filter(None, files):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation']
        + ['-w', str(folder), str(source)],
        check=True,
    )
    site = folder / 'site'
    with zipfile.ZipFile(next(folder.glob('mmclip-*.whl'))) as wheel:
        wheel.extractall(site)
    return site


def run(command: list[str], *, cwd: Path, site: Path) -> str:
    # PYTHONPATH comes before an editable install's finder.
    env = {**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1'}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.mark.slow
def test_the_wheel_ships_configs_tools_and_assets(wheel_site):
    package = wheel_site / 'mmclip'
    for name in (
        '.mim/configs/vild/vild_r50_lvis.py',
        '.mim/tools/train.py',
        '.mim/model-index.yml',
        'assets/mini_clip.safetensors',
        'assets/mini_clip_styles.json',
        'assets/mini_clip_styles.safetensors',
    ):
        assert (package / name).is_file(), name


@pytest.mark.slow
def test_the_wheel_ships_no_tool_that_needs_the_checkout(wheel_site):
    tools = wheel_site / 'mmclip' / '.mim' / 'tools'
    names = {path.name for path in tools.iterdir()}
    assert names.isdisjoint({'dev', 'make_mini_clip.py', 'quickstart.py', 'setup_env.py'})
    assert {'train.py', 'test.py', 'demo.py', 'dataset_converters', 'dist_train.sh'} <= names
    shipped = {path.name for path in wheel_site.rglob('*.py')}
    assert shipped.isdisjoint({'check_oracles.py', 'kill_test.py', 'host_tests.py'})


@pytest.mark.parametrize('missing', [('mmengine',), ('torch', 'mmengine', 'mmcv')])
def test_a_bare_import_says_what_is_missing_in_one_sentence(missing, tmp_path):
    code = (
        'import sys; import importlib.util as u; find = u.find_spec;'
        f'u.find_spec = lambda name, *rest: None if name in {missing!r} else find(name, *rest);'
        'import mmclip'
    )
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1
    assert last.startswith(f'ModuleNotFoundError: mmclip needs {", ".join(missing)}: install')
    assert 'As a dependency' in last and 'pip install mmengine mmcv==2.1.0' in last


def test_the_editable_install_links_configs_and_tools():
    mim = ROOT / 'mmclip' / '.mim'
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (mim / name).resolve() == ROOT / name


@pytest.mark.slow
def test_a_downstream_config_trains_under_mmclips_and_mmdets_tools(
    wheel_site, tmp_path, mini_world_detection
):
    (tmp_path / 'mine.py').write_text(DOWNSTREAM)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'mini_world').symlink_to(mini_world_detection)
    assert len(DOWNSTREAM.splitlines()) <= 5
    mmdet = Path(find_spec('mmdet').origin).parent
    for name, tool in {
        'mmclip': wheel_site / 'mmclip' / '.mim' / 'tools' / 'train.py',
        'mmdet': mmdet / '.mim' / 'tools' / 'train.py',
    }.items():
        work_dir = tmp_path / name
        run(
            [sys.executable, str(tool), 'mine.py', '--work-dir', str(work_dir)],
            cwd=tmp_path,
            site=wheel_site,
        )
        assert (work_dir / 'iter_2.pth').is_file()


@pytest.mark.slow
def test_the_mmclip_prefix_reads_the_same_config(wheel_site, tmp_path):
    code = (
        'import mmclip; from mmengine import Config;'
        "open('a.py', 'w').write(\"_base_ = 'mmclip::vild/vild_r50_lvis.py'\");"
        "a = Config.fromfile('a.py');"
        "b = Config.fromfile(mmclip.config_path('vild/vild_r50_lvis.py'));"
        'print(mmclip.__file__);'
        "assert a.model.roi_head.bbox_head['type'] == b.model.roi_head.bbox_head['type']"
    )
    out = run([sys.executable, '-c', code], cwd=tmp_path, site=wheel_site)
    assert str(wheel_site) in out


def test_config_path_lists_near_names():
    import mmclip

    with pytest.raises(FileNotFoundError, match=r'vild/vild_r50_lvis\.py'):
        mmclip.config_path('vild/vild_r50_lviss.py')
