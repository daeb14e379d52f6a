"""The command ``mmclip label``."""

from mmclip.cli.errors import run
from mmclip.cli.label import main

if __name__ == '__main__':
    run(main)
