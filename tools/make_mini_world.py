"""The command ``mmclip data mini_world``."""

from mmclip.cli.errors import run
from mmclip.cli.mini_world import main

if __name__ == '__main__':
    run(main)
