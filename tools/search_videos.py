"""The command ``mmclip search``."""

from mmclip.cli.search import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
