"""Parts of the command line of training and testing."""

import pytest

from mmclip.engine.cli import no_scope


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        ('mmengine.CheckpointHook', 'CheckpointHook'),
        ('CheckpointHook', 'CheckpointHook'),
        ('mmengine.hooks.CheckpointHook', 'CheckpointHook'),
        (dict, 'dict'),
        (None, ''),
    ],
)
def test_the_scope_of_a_type_is_what_stands_before_its_last_dot(kind, name):
    assert no_scope(kind) == name
