"""The command ``mmclip train``; it listens to SIGTERM before the imports, which take seconds."""

import atexit
import os
import signal


def leave(number: int, frame: object) -> None:
    """Exit with 75: nothing has begun yet. The imports take seconds, SIGTERM must not wait."""
    try:
        with open(os.environ['MMCLIP_EXIT_CODE_FILE'], 'w') as stream:
            stream.write('75')
    except (KeyError, OSError):
        pass
    os._exit(75)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, leave)
    # Registered first, called last: what has ended by then is not to be started again.
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
    from mmclip.cli.train import run

    run()
