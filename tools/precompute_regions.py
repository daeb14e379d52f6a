"""The command ``mmclip regions``."""

from mmclip.cli.regions import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
