"""The command ``mmclip predict``."""

from mmclip.cli.predict import main
from mmclip.user_errors import run

if __name__ == '__main__':
    run(main)
