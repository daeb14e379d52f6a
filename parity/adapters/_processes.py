"""How the processes of a fixture of several ranks are started."""

import torch


def start_method() -> str:
    """Fork, which spares each process its imports; spawn beside an accelerator, where none may."""
    return 'spawn' if torch.cuda.is_available() else 'fork'
