"""Remedies for what is broken in the tested stack (filled by its own change)."""


def apply() -> None:
    """Apply every remedy; called by ``import mmclip``."""
