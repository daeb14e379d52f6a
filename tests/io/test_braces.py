"""Lists of shards in braces are counted before they are written out."""

import pytest

from mmclip.datasets.captions import expand_shards
from mmclip.io import braces
from mmclip.io.braces import expand_braces

PATTERNS = {
    'a.tar': 1,
    'cc/{00000..00331}.tar': 332,
    '{a,b}/{0..9}.tar': 20,
    '{a/{0..4},b/{0..6..2}}.tar': 9,
    'a{1..2}.tar::b{8..6}.tar': 5,
    '{c..e}{x}{,y}.tar': 6,
    r'\{0..9\}{1,2\,3}.tar': 2,
    '{-1..-5..-2}': 3,
    '{{1..2},{3..4}}{5..6}': 8,
}


@pytest.mark.parametrize('pattern', PATTERNS)
def test_the_count_is_that_of_the_names(pattern, monkeypatch):
    monkeypatch.setattr(braces, 'MAX_SHARDS', PATTERNS[pattern])
    assert len(expand_braces(pattern)) == PATTERNS[pattern]
    monkeypatch.setattr(braces, 'MAX_SHARDS', PATTERNS[pattern] - 1)
    with pytest.raises(ValueError, match='names more than'):
        expand_braces(pattern)


@pytest.mark.parametrize(
    'pattern',
    [
        '{0..99999999}.tar',
        '{0..999}{0..999}{0..9}',
        'x{a,{{0..9999}{0..9999},b}}',
        '{a,b}' * 60,
        '{' + '9' * 4000 + '..0}' + '{0..999999999}' * 600,
    ],
)
def test_too_many_names_are_an_error_that_costs_nothing(pattern):
    with pytest.raises(ValueError, match='shards: .* names more than 1000000 shards'):
        expand_shards(pattern)


def test_what_cannot_be_expanded_is_named():
    for pattern in ('{0..3', '{0..' + '9' * 5000 + '}', '{a,' * 1000 + '}' * 1000):
        with pytest.raises(ValueError, match='shards: .* cannot be expanded'):
            expand_shards(pattern)
