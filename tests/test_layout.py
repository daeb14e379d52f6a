"""The layout of DESIGN: who may import whom, and one spelling of a method's name everywhere."""

import ast
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / 'mmclip' / 'models'
METHODS = {
    path.name
    for path in MODELS.iterdir()
    if path.is_dir() and path.name != 'common' and (path / '__init__.py').exists()
}
BUILDS_ON = {'glipv2': {'glip'}}


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


def imported_methods(path: Path) -> set[str]:
    prefix = 'mmclip.models.'
    return {
        name.removeprefix(prefix).split('.')[0]
        for name in imported_modules(path)
        if name.startswith(prefix)
    } & METHODS


def test_common_imports_no_method():
    for path in (MODELS / 'common').glob('*.py'):
        assert not imported_methods(path), path


def test_a_method_imports_no_other_method():
    for method in METHODS:
        allowed = {method} | BUILDS_ON.get(method, set())
        for path in (MODELS / method).rglob('*.py'):
            assert imported_methods(path) <= allowed, path


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
