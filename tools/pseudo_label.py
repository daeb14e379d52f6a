"""The command ``mmclip label``."""

from mmclip.cli.label import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
