"""The command ``mmclip search``."""

from mmclip.cli.errors import run
from mmclip.cli.search import main

if __name__ == '__main__':
    run(main)
