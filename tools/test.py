"""The command ``mmclip test``."""

from mmclip.cli.test import main
from mmclip.engine.cli import run

if __name__ == '__main__':
    run(main)
