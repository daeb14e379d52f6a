"""The command ``mmclip vocab``."""

from mmclip.cli.vocab import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
