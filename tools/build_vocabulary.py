"""The command ``mmclip vocab``."""

from mmclip.cli.errors import run
from mmclip.cli.vocab import main

if __name__ == '__main__':
    run(main)
