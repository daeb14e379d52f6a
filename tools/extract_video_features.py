"""The command ``mmclip features``."""

from mmclip.cli.errors import run
from mmclip.cli.features import main

if __name__ == '__main__':
    run(main)
