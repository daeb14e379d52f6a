"""What MMEngine asks of a package under this name: ``mmengine.hub.get_model('mmclip::...')``."""

from datetime import datetime
from importlib import import_module

from mmengine.registry import DefaultScope

# The one host whose parts name others of its own without a scope (MaxIoUAssigner, BboxOverlaps2D).
_SCOPE = 'mmdet'


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import everything that registers itself.

    Args:
        init_default_scope: Whether unscoped names are then looked up in MMDetection, if MMEngine
            has made ``mmclip`` the place to look: the types in our configs all carry their scopes,
            the hosts' own defaults do not.
    """
    for name in ('datasets', 'engine', 'evaluation', 'models', 'visualization'):
        import_module(f'mmclip.{name}')
    scope = DefaultScope.get_current_instance()
    if init_default_scope and (scope is None or scope.scope_name == 'mmclip'):
        DefaultScope.get_instance(f'{_SCOPE}-{datetime.now()}', scope_name=_SCOPE)
