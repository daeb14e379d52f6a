"""The program ``mmclip``: ``mmclip COMMAND …`` is ``python tools/….py …``."""

import difflib
import runpy
import sys
from importlib import import_module

from mmclip import user_errors
from mmclip.config_path import tools_root

COMMANDS = {
    'train': 'train a model of a config',
    'test': 'test a model, with the metrics of its config',
    'predict': 'find any words in any images',
    'search': 'find videos of a store by sentences or by videos',
    'features': 'make a store of vectors of videos, for search',
    'vocab': 'make, import, merge and inspect vocabulary files',
    'convert': "give an official checkpoint's weights our names",
    'data': 'make MiniWorld, or annotation files of a dataset',
    'regions': 'make the store of region embeddings that ViLD distills from',
    'label': 'label image-caption pairs with boxes by a teacher',
    'doctor': 'look at the installed stack and say what is wrong with it',
    'list': 'list the configs of a method',
}
EXAMPLE = (
    "mmclip predict photo.png vild/mini/vild_text_r18_mini.py weights.pth --classes 'red star'"
)


def usage() -> str:
    lines = [f'  {name:<10} {what}' for name, what in COMMANDS.items()]
    return '\n'.join(
        ['usage: mmclip COMMAND …', '', *lines, '', '`mmclip COMMAND --help` says more.', EXAMPLE]
    )


def run_data(arguments: list[str]) -> None:
    """Run ``mini_world`` or one of ``tools/dataset_converters``.

    Raises:
        UserError: no such dataset.
    """
    folder = tools_root() / 'dataset_converters'
    known = ['mini_world', *sorted(path.stem for path in folder.glob('*.py'))]
    name = arguments[0] if arguments else None
    if name not in known:
        raise user_errors.UserError(
            f'data: there is no {name!r}; known are {", ".join(known)}. For example: '
            'mmclip data mini_world --out data/mini_world'
        )
    sys.argv = [f'mmclip data {name}', *arguments[1:]]
    if name == 'mini_world':
        user_errors.run(import_module('mmclip.cli.mini_world').main)
    runpy.run_path(str(folder / f'{name}.py'), run_name='__main__')


def main() -> None:
    """Run the command that the first argument names."""
    name, *arguments = sys.argv[1:] or ['--help']
    if name in ('-h', '--help'):
        print(usage())
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f'; did you mean {near[0]}?' if near else ''
        print(f'error: mmclip has no command {name!r}{hint}\n\n{usage()}', file=sys.stderr)
        sys.exit(2)
    sys.argv = [f'mmclip {name}', *arguments]
    if name == 'data':
        user_errors.run(lambda: run_data(arguments))
    elif name == 'doctor':
        runpy.run_path(str(tools_root() / 'check_env.py'), run_name='__main__')
    elif name == 'train':
        import_module('mmclip.cli.train').run()
    elif name == 'test':
        import_module('mmclip.engine.cli').run(import_module('mmclip.cli.test').main)
    else:
        user_errors.run(import_module(f'mmclip.cli.{name}').main)


if __name__ == '__main__':
    main()
