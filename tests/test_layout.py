"""The layout of DESIGN: who may import whom, and one spelling of a method's name everywhere."""

import ast
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / 'mmclip' / 'models'
SHARED = {'layers', 'dense'}
METHODS = {
    path.name
    for path in MODELS.iterdir()
    if path.is_dir() and path.name not in SHARED and (path / '__init__.py').exists()
}
BUILDS_ON = {'glipv2': {'glip'}}
# A room imports rooms of lower floors only; rooms of one floor do not know each other.
FLOORS = (
    {'version', 'registry', 'config_path', 'user_errors', 'io', 'distributed'},
    {'config_file', 'compat', 'text'},
    {'clip'},
    {'vocabulary', 'stores'},
    {'datasets', 'models.layers', 'models.dense'},
    {f'models.{method}' for method in METHODS},
    {'evaluation', 'engine', 'visualization'},
    {'offline', 'apis'},
    {'cli'},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What still looks up; it only gets shorter.
UPWARD: set[tuple[str, str]] = set()


def imported_modules(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import; write the absolute one'
            found.add(node.module)
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def room_of(module: str) -> str | None:
    """The room (``'models.vild'``) of a module's dotted name; None for the package itself."""
    parts = module.split('.')[1:]
    if parts[:1] == ['models']:
        return '.'.join(parts[:2]) if len(parts) > 1 else None
    return parts[0] if parts else None


def test_a_room_imports_lower_floors_only():
    upward = set()
    for path in sorted((ROOT / 'mmclip').rglob('*.py')):
        name = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
        room = room_of(name)
        if room not in FLOOR_OF:  # the package, its table of contents, what others look for
            assert name in ('mmclip', 'mmclip.models', 'mmclip.utils'), name
            continue
        for module in imported_modules(path):
            other = room_of(module) if module.split('.')[0] == 'mmclip' else None
            if other not in FLOOR_OF or other == room:
                continue
            method = room.removeprefix('models.')
            if other.removeprefix('models.') in BUILDS_ON.get(method, ()):
                continue
            if FLOOR_OF[other] >= FLOOR_OF[room] and (room, other) != (
                'models.dense',
                'models.layers',
            ):
                upward.add((name, other))
    assert upward == UPWARD


def test_one_room_imports_open_clip():
    importers = {
        room_of('.'.join(path.relative_to(ROOT).with_suffix('').parts))
        for path in (ROOT / 'mmclip').rglob('*.py')
        if any(module.split('.')[0] == 'open_clip' for module in imported_modules(path))
    }
    assert importers == {'clip'}


def test_importing_mmclip_imports_no_model_code_and_no_host():
    reached, queue = set(), ['mmclip']
    while queue:
        name = queue.pop()
        base = ROOT / Path(*name.split('.'))
        path = base / '__init__.py' if base.is_dir() else base.with_suffix('.py')
        if name in reached or not path.is_file():
            continue
        reached.add(name)
        tree = ast.parse(path.read_text())
        top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        for node in top:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            if isinstance(node, ast.ImportFrom):
                names += [f'{node.module}.{a.name}' for a in node.names]
            queue += [n for n in names if n.split('.')[0] == 'mmclip']
            hosts = {'mmdet', 'mmseg', 'mmaction', 'open_clip', 'transformers'}
            assert not hosts & {n.split('.')[0] for n in names}, (path, names)
    assert not [name for name in reached if name.startswith('mmclip.models')]


def test_every_method_has_its_rooms():
    assert METHODS >= {'clip_zero_shot', 'vild'}
    for method in METHODS:
        docstring = ast.get_docstring(ast.parse((MODELS / method / '__init__.py').read_text()))
        assert docstring and len(docstring.splitlines()) >= 10, method
        for path in (
            ROOT / 'configs' / method / 'README.md',
            ROOT / 'configs' / method / 'metafile.yml',
            ROOT / 'docs' / 'en' / 'methods' / f'{method}.md',
            ROOT / 'tests' / 'models' / method,
        ):
            assert path.exists(), path


def test_metafiles_are_indexed_and_name_existing_configs():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert set(index) == {
        path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/metafile.yml')
    }
    for name in index:
        models = yaml.safe_load((ROOT / name).read_text())['Models']
        for model in models:
            assert (ROOT / model['Config']).is_file(), model
