"""The command ``mmclip features``."""

from mmclip.cli.features import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
