"""The command ``mmclip regions``."""

from mmclip.cli.errors import run
from mmclip.cli.regions import main

if __name__ == '__main__':
    run(main)
