"""Does something in the moment in which a module is imported, without importing it."""

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]


class _Watcher(MetaPathFinder):
    """Finds the watched modules by asking the other finders, and adds to what their loaders do."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in self.actions:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._extend(spec.loader, self.actions[name])
        return spec

    @staticmethod
    def _extend(loader: Any, actions: list[Action]) -> None:
        execute = loader.exec_module

        def execute_then_act(module: ModuleType) -> None:
            execute(module)
            for action in actions:
                action(module)

        # On this instance alone: finders make one loader per module.
        loader.exec_module = execute_then_act


_watcher = _Watcher()


def after_import(name: str, action: Action) -> None:
    """Call ``action(module)`` right after a module's own code ran: now, if it already has.

    Args:
        name: Absolute name of the module.
        action: Must bear being called twice on the same module.
    """
    if name in sys.modules:
        action(sys.modules[name])
        return
    actions = _watcher.actions.setdefault(name, [])
    if action not in actions:
        actions.append(action)
    if _watcher not in sys.meta_path:
        sys.meta_path.insert(0, _watcher)
