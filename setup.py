"""Installs mmclip and ships its configs and tools inside the package as ``mmclip/.mim``."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'model-index.yml')
# They need the checkout.
MAINTAINERS_TOOLS = ('dev', 'make_mini_clip.py', 'quickstart.py', 'setup_env.py')


def read_requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def read_version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / 'mmclip' / 'version.py').read_text(), scope)
    return scope['__version__']


class BuildWithMim(build_py):
    """Adds ``.mim``: copies in the build folder for a wheel, links for an editable install.

    OpenMMLab's usual helper looks for ``develop`` among the arguments, which a PEP 660 editable
    install never passes, and leaves copies in the checkout that go stale.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            mim = ROOT / 'mmclip' / '.mim'
            mim.mkdir(exist_ok=True)
            for name in SHIPPED:
                link = mim / name
                if not link.is_symlink():
                    os.symlink(os.path.relpath(ROOT / name, mim), link)
            return
        mim = Path(self.build_lib) / 'mmclip' / '.mim'
        mim.mkdir(parents=True, exist_ok=True)
        for name in SHIPPED:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns('__pycache__', *MAINTAINERS_TOOLS)
                shutil.copytree(source, mim / name, ignore=ignore, dirs_exist_ok=True)
            else:
                shutil.copy2(source, mim / name)


if __name__ == '__main__':
    setup(
        name='mmclip',
        version=read_version(),
        description='Open-vocabulary detection, segmentation and recognition for OpenMMLab',
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        packages=find_packages(include=['mmclip', 'mmclip.*']),
        package_data={'mmclip': ['assets/*', 'assets/vocabularies/*']},
        python_requires='>=3.10,<3.13',
        install_requires=read_requirements('runtime.txt'),
        extras_require={
            'points': read_requirements('points.txt'),
            'search': read_requirements('search.txt'),
            'video': read_requirements('video.txt'),
            'tests': read_requirements('tests.txt'),
        },
        entry_points={'console_scripts': ['mmclip = mmclip.cli.main:main']},
        cmdclass={'build_py': BuildWithMim},
        zip_safe=False,
    )
