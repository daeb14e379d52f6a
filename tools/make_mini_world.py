"""The command ``mmclip data mini_world``."""

from mmclip.cli.mini_world import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
