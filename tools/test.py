"""The command ``mmclip test``."""

from mmclip.cli.runs import run
from mmclip.cli.test import main

if __name__ == '__main__':
    run(main)
