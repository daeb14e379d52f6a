"""The command ``mmclip predict``."""

from mmclip.cli.errors import run
from mmclip.cli.predict import main

if __name__ == '__main__':
    run(main)
