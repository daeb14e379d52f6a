"""The command ``mmclip convert``."""

from mmclip.cli.convert import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
