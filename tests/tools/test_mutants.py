"""tools/dev/mutants.py: what is changed, what is drawn, which tests should see it."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """\
def f(x: int = 3, *, size: 'a < b' = None):
    # ä: offsets are those of bytes
    if not 0 <= x < size and f(x, size=1):
        raise ValueError(f'{x + 1}')
    return x.float().clamp(min=0)
"""


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools/dev'))
    import mutants

    yield mutants
    sys.modules.pop('mutants', None)


def test_each_change_is_one_of_the_file(tool):
    found = tool.mutants('mmclip/io/a.py', SOURCE)
    changed = {}
    for one in found:
        text = one.apply(SOURCE)
        compile(text, 'a.py', 'exec')
        (line,) = (
            new.strip()
            for old, new in zip(SOURCE.splitlines(), text.splitlines(), strict=True)
            if old != new
        )
        changed.setdefault(one.kind, set()).add(line)
    assert changed['comparison'] == {
        'if not 0 < x < size and f(x, size=1):',
        'if not 0 <= x <= size and f(x, size=1):',
    }
    assert changed['and/or'] == {'if not 0 <= x < size or f(x, size=1):'}
    assert changed['not'] == {'if 0 <= x < size and f(x, size=1):'}
    assert changed['raise'] == {'pass'}
    assert changed['keyword'] == {
        'if not 0 <= x < size and f(x):',
        'return x.float().clamp()',
    }
    assert changed['call'] == {'return x.float()', 'return x.clamp(min=0)'}
    assert 'if not 1 <= x < size and f(x, size=1):' in changed['constant']
    assert len([one for one in found if one.kind == 'constant']) == 2 * 4  # none of a message


def test_a_draw_depends_on_the_seed_and_takes_all_areas(tool):
    found = [
        one
        for area in ('io/a', 'text/b', 'models/vild/c', 'd')
        for one in tool.mutants(f'mmclip/{area}.py', SOURCE)
    ]
    drawn = tool.draw(found, 8, seed=3)
    assert drawn == tool.draw(found, 8, seed=3) != tool.draw(found, 8, seed=4)
    assert sorted(one.area for one in drawn) == sorted(2 * ['io', 'text', 'models/vild', '.'])
    assert len(tool.draw(found, 1000, seed=3)) == len(found)


def test_the_closest_tests_come_first(tool):
    texts = {
        'tests/io/test_a.py': '',
        'tests/io/test_b.py': '',
        'tests/text/test_c.py': 'from mmclip.io.a import f\n',
        'tests/text/test_d.py': 'from mmclip.io.ab import f\n',
    }
    assert tool.tests_of('mmclip/io/a.py', texts) == [
        'tests/io/test_a.py',
        'tests/text/test_c.py',
        'tests/io/test_b.py',
    ]
