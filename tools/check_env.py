"""Prints versions and finds what is known to break, with the remedy of each.

    python tools/check_env.py

One line per check: `ok`, `note` (works, with something to know) or `PROBLEM` with its remedy. Ends
with 1 if there is a problem. Needs nothing installed: what is missing or broken is said, too.
"""

import importlib
import os
import platform
import shutil
import sys
import tempfile
import warnings
from importlib import metadata

SETUP = 'run `make setup` (or `python tools/setup_env.py`)'
PACKAGES = (
    'torch torchvision numpy mmengine mmcv mmdet mmsegmentation mmaction2 mmclip open_clip_torch '
    'timm transformers safetensors faster-coco-eval webdataset av setuptools opencv-python '
    'opencv-contrib-python opencv-python-headless opencv-contrib-python-headless lvis'
).split()


class Problem(Exception):
    """What is wrong, and the remedy."""

    def __init__(self, what, remedy=SETUP):
        super().__init__(what)
        self.remedy = remedy


class Note(Exception):
    """Something to know."""


def version_of(package):
    """(major, minor, ...) of an installed package, None if it is not installed."""
    try:
        text = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    numbers = []
    for part in text.split('+')[0].split('.'):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def need(module, remedy=SETUP):
    """The module, or a Problem that says why it cannot be imported.

    Args:
        module: Its name.
        remedy: For when it is there and broken.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name == module.split('.')[0]
        what = 'is not installed' if missing else 'cannot be found'
        raise Problem(f'{error.name} {what}', SETUP if missing else remedy) from error
    except BaseException as error:  # a broken package may raise anything
        line = (str(error).strip().splitlines() or [''])[0]
        raise Problem(f'import {module}: {type(error).__name__}: {line}', remedy) from error


def python_version():
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        raise Problem(
            f'Python {platform.python_version()}; MMCV 2.1.0 and the hosts work on 3.10 to 3.12',
            'make an environment with Python 3.11, then `make setup`',
        )
    return platform.python_version()


def torch_pair():
    remedy = 'pip install torch==2.11.0 torchvision==0.26.0, or `make setup TORCH=replace`'
    torch = need('torch', remedy)
    if version_of('torch') < (2, 6):
        raise Problem(f'torch {torch.__version__} is older than 2.6', remedy)
    torchvision = need('torchvision', f'torchvision does not fit this torch: {remedy}')
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    if torchvision.ops.nms(boxes, torch.ones(2), 0.5).tolist() != [0]:
        raise Problem('torchvision::nms gives wrong results', remedy)
    return f'torch {torch.__version__}, torchvision {torchvision.__version__}'


def pkg_resources():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            need('pkg_resources')
        except Problem as problem:
            remedy = "MMEngine and MMCV import it: pip install 'setuptools<81'"
            raise Problem(problem, remedy) from problem
    return 'there (setuptools < 81)'


def opencv():
    cv2 = need(
        'cv2',
        'libGL is missing: install it (e.g. apt install libgl1) or replace opencv-python by '
        'opencv-python-headless',
    )
    return f'OpenCV {cv2.__version__}'


def mmcv_operators():
    mmcv = need('mmcv')
    if not (2, 0) <= version_of('mmcv') < (2, 2):
        raise Problem(f'mmcv {mmcv.__version__}; the hosts ask for < 2.2.0', SETUP)
    need(
        'mmcv._ext',
        'MMCV was built without its operators, or for another torch: pip uninstall mmcv, then '
        '`make setup` (a build with --no-build-isolation and MMCV_WITH_OPS=1, about 12 minutes)',
    )
    need('mmcv.ops')
    return f'mmcv {mmcv.__version__} with operators'


def hosts():
    wanted = {'mmengine': 'mmengine', 'mmdet': 'mmdet', 'mmseg': 'mmsegmentation'}
    wanted['mmaction'] = 'mmaction2'
    versions = []
    for module, package in wanted.items():
        need(module)
        versions.append(f'{package} {metadata.version(package)}')
    tested = {'mmengine': (0, 10), 'mmdet': (3, 3), 'mmsegmentation': (1, 2), 'mmaction2': (1, 2)}
    other = [name for name, version in tested.items() if version_of(name)[:2] != version]
    if other:
        raise Note(f'{", ".join(versions)}; not tested with this {", ".join(other)}')
    return ', '.join(versions)


def package():
    mmclip = need('mmclip', 'pip install --no-build-isolation --no-deps -e .')
    root = need('mmclip.config_path').configs_root()
    name = sorted(path.relative_to(root).as_posix() for path in root.glob('*/*.py'))[0]
    with tempfile.TemporaryDirectory() as folder:
        leaf = os.path.join(folder, 'leaf.py')
        with open(leaf, 'w') as stream:
            stream.write(f'_base_ = {"mmclip::" + name!r}')
        need('mmengine.config').Config.fromfile(leaf)
    return f'mmclip {mmclip.__version__} in {os.path.dirname(mmclip.__file__)}; mmclip:: is known'


def libraries():
    for module in ('open_clip', 'timm', 'transformers', 'safetensors', 'webdataset'):
        need(module)
    return 'open_clip, timm, transformers, safetensors, webdataset'


def checkpoints():
    need('mmclip')
    torch, history = need('torch'), need('mmengine.logging').HistoryBuffer
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'a.pth')
        torch.save({'loss': history([1.0, 3.0], [1, 1])}, path)
        try:
            mean = torch.load(path, weights_only=True)['loss'].mean()
        except Exception as error:
            raise Problem(
                f'MMEngine checkpoints do not load: {type(error).__name__}',
                'import mmclip before they are loaded; if it is, please report this torch',
            ) from error
    if mean != 2:
        raise Problem('MMEngine checkpoints load with other values', 'please report this')
    return "MMEngine's load, resume and load_from work with weights_only (cured by mmclip)"


def memory_layouts():
    need('mmclip')
    torch, ops = need('torch'), need('mmcv.ops')
    maps = torch.randn(2, 8, 16, 16)
    rois = torch.tensor([[0, 1.0, 1, 10, 12], [1, 3, 2, 9, 15]])
    layer = ops.RoIAlign(7, 1.0, 0)
    last = maps.contiguous(memory_format=torch.channels_last)
    difference = float((layer(maps, rois) - layer(last, rois)).abs().max())
    if difference > 1e-5:
        raise Problem(
            f'roi_align gives other values for channels_last (difference {difference:.2g})',
            'import mmclip, or call .contiguous() in front of RoI extractors',
        )
    return 'roi_align takes channels_last (cured by mmclip)'


def mmaction_models():
    need('mmclip')
    need('mmaction.models', '`import mmclip` has to come before `import mmaction.models`')
    return 'mmaction.models imports (cured by mmclip)'


def multimodal_hosts():
    if version_of('transformers') is None:
        return 'not installed'
    if version_of('transformers') >= (5,):
        raise Note(
            "transformers >= 5: mmaction's VindLU is off, and mmdet's own GLIP and Grounding DINO "
            "fail in forward; use mmclip's, or an environment with transformers < 5 for those"
        )
    return 'transformers < 5'


def lvis():
    need('faster_coco_eval')
    if version_of('lvis') and (version_of('numpy') or (0,)) >= (1, 24):
        raise Note(
            "the package lvis fails with `np.float` on this NumPy: mmdet's LVISMetric cannot be "
            "used, mmclip's evaluates with faster-coco-eval"
        )
    return 'LVIS and COCO are evaluated with faster-coco-eval'


def accelerator():
    torch = need('torch')
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        bf16 = 'bf16' if torch.cuda.is_bf16_supported() else 'no bf16: use fp16'
        architecture = 'sm_{}{}'.format(*torch.cuda.get_device_capability())
        if architecture not in torch.cuda.get_arch_list():
            raise Note(f"{names[0]} ({architecture}) is not among this torch build's targets")
        ops = need('mmcv.ops')
        try:
            ops.nms(torch.rand(2, 4, device='cuda'), torch.rand(2, device='cuda'), 0.5)
        except Exception as error:
            raise Problem(
                f'MMCV was built without CUDA ({type(error).__name__})',
                'install the CUDA toolkit (nvcc) of torch.version.cuda, pip uninstall mmcv, then '
                'FORCE_CUDA=1 make setup',
            ) from error
        return f'{len(names)} x {names[0]}, {bf16}'
    if shutil.which('nvidia-smi') and torch.version.cuda:
        raise Problem(
            f'there is an NVIDIA driver, but torch (CUDA {torch.version.cuda}) finds no GPU',
            'nvidia-smi names the newest CUDA of the driver: update the driver, or install a torch '
            'for that CUDA (pytorch.org) and run `make setup TORCH=keep`',
        )
    raise Note(
        'none: training runs on the CPU; tools/train.py starts several processes with gloo, and '
        '--amp is not for CPUs'
    )


def video():
    try:
        need('av')
    except Problem as problem:
        raise Note(
            f'{problem}: only for videos, pip install -r requirements/video.txt'
        ) from problem
    return 'PyAV'


def points():
    try:
        need('trimesh')
        need('h5py')
    except Problem as problem:
        raise Note(
            f'{problem}: only for point clouds, pip install -r requirements/points.txt'
        ) from problem
    return 'trimesh, h5py'


def disk():
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    if free < 5:
        raise Note(f'{free:.1f} GB free here: little for datasets and checkpoints')
    return f'{free:.0f} GB free here'


CHECKS = {
    'Python': python_version,
    'torch': torch_pair,
    'pkg_resources': pkg_resources,
    'OpenCV': opencv,
    'MMCV': mmcv_operators,
    'hosts': hosts,
    'mmclip': package,
    'libraries': libraries,
    'checkpoints': checkpoints,
    'roi_align': memory_layouts,
    'mmaction': mmaction_models,
    'transformers': multimodal_hosts,
    'LVIS': lvis,
    'accelerator': accelerator,
    'video': video,
    'points': points,
    'disk': disk,
}


def main():
    warnings.simplefilter('ignore')
    print(f'{platform.platform()}, {sys.executable}')
    for name in PACKAGES:
        try:
            print(f'  {name:32}{metadata.version(name)}')
        except metadata.PackageNotFoundError:
            if 'opencv' not in name and name != 'lvis':
                print(f'  {name:32}-')
    problems = 0
    for name, check in CHECKS.items():
        remedy = None
        try:
            state, text = 'ok', check()
        except Note as note:
            state, text = 'note', note
        except Problem as problem:
            state, text, remedy = 'PROBLEM', problem, problem.remedy
        except Exception as error:  # the check itself met something unforeseen
            state, text, remedy = 'PROBLEM', f'{type(error).__name__}: {error}', SETUP
        problems += state == 'PROBLEM'
        print(f'{state:8}{name:14}{text}', flush=True)
        if remedy:
            print(f'{"":22}remedy: {remedy}', flush=True)
    print(f'{problems} problem{"" if problems == 1 else "s"} found' if problems else 'all is well')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main())
