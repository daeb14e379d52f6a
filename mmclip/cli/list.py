"""List configs, by method: mmclip list [METHOD]

mmclip list vild
"""

import argparse
import difflib
import re
from pathlib import Path

from mmclip import user_errors
from mmclip.config_path import configs_root


def main_config(folder: Path) -> str:
    """Name of the config that a method's README calls its main one."""
    readme = (folder / 'README.md').read_text(encoding='utf-8')
    return f'{folder.name}/{re.search(r"^Main config: .`([^`]+)`", readme, re.MULTILINE)[1]}'


def main() -> None:
    """Print names of configs as every command takes them, with the first line of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('method', nargs='?', help='a folder of configs, e.g. vild')
    method = parser.parse_args().method
    root = configs_root()
    leaves: dict[str, list[str]] = {}
    for path in sorted(root.rglob('*.py')):
        name = path.relative_to(root).as_posix()
        if not name.startswith('_base_/'):
            leaves.setdefault(name.split('/')[0], []).append(name)
    if method is None:
        for name, configs in leaves.items():
            print(f'{name:<16} {len(configs)} configs, e.g. {main_config(root / name)}')
        return
    if method not in leaves:
        near = difflib.get_close_matches(method, leaves, n=1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(f'method: there is no {method!r} among {", ".join(leaves)}{hint}')
    main = main_config(root / method)
    for name in sorted(leaves[method], key=lambda name: (name != main, '/mini/' in name, name)):
        head = (root / name).read_text(encoding='utf-8').splitlines()[0]
        print(f'{name:<64} {head.strip("# ")[:90]}'.rstrip())


if __name__ == '__main__':
    user_errors.run(main)
