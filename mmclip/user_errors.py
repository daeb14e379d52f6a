"""Errors that the user of a command can mend are told in a sentence, without a traceback.

Exit codes of all tools: 0 done, 1 error, 2 wrong options, 75 stopped by SIGTERM after a checkpoint
was saved (tools/train.py). ``MMCLIP_TRACEBACK=1`` shows the traceback of every error.
"""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent
_OURS = (_PACKAGE, _PACKAGE.parent / 'tools')
_ADVICE = {
    errno.ENOSPC: 'free some space and run the command again',
    errno.EDQUOT: 'free some space and run the command again',
    errno.EACCES: 'change its permissions or choose another place',
    errno.EPERM: 'change its permissions or choose another place',
    errno.EROFS: 'choose another place',
    errno.EISDIR: 'name a file in it',
    errno.ENOTDIR: 'a file is where a folder is needed, choose another place',
    errno.EEXIST: 'a file is where a folder is needed, choose another place',
}


class UserError(Exception):
    """Told to the user without a traceback."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from, the outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)


def _source(error: BaseException) -> str:
    """The file in which an error was raised, in a worker process too."""
    raised = re.findall(r'^ *File "(.+?)", line', str(error), re.MULTILINE)
    if raised and 'Original Traceback' in str(error):
        return raised[-1]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return '' if trace is None else trace.tb_frame.f_code.co_filename


def _is_ours(error: BaseException) -> bool:
    path = Path(_source(error)).resolve()
    return any(path.is_relative_to(root) for root in _OURS)


def _text(error: BaseException) -> str:
    text = str(error)
    if 'Original Traceback' in text:  # of a worker process of torch's DataLoader
        text = text.rstrip().splitlines()[-1].partition(': ')[2]
    if isinstance(error, KeyError) and error.args:
        text = str(error.args[0])
    if isinstance(error, OSError) and error.strerror:
        place = '' if error.filename is None else f'{error.filename}: '
        advice = _ADVICE.get(error.errno)
        text = f'{place}{error.strerror}' + (f'; {advice}' if advice else '')
    return text or type(error).__name__


def _of_config(error: BaseException) -> bool:
    """Whether a registry says that a config names an unknown type or argument."""
    if isinstance(error, KeyError):
        return 'registry' in str(error) and 'mmengine' in _source(error)
    words = ('unexpected keyword argument', 'required positional argument', 'required keyword-only')
    return isinstance(error, TypeError) and any(word in str(error) for word in words)


def _wants_traceback() -> bool:
    return os.environ.get('MMCLIP_TRACEBACK', '') not in ('', '0')


def explain(error: BaseException) -> str | None:
    """The sentence for an error that is the user's to mend; None for what may be a bug.

    Told are :class:`UserError`, a loss that is not finite, all that the system refuses (OSError: no
    such file, no space, no permission, no connection), ValueError and ImportError that mmclip
    raises itself, and types and arguments in a config that do not exist.
    """
    if _wants_traceback():
        return None
    if isinstance(error, UserError | FloatingPointError):
        return str(error)
    for one in _chain(error):  # torch.save says something else of a full disk
        if getattr(one, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
            return _text(one)
    if isinstance(error, OSError):
        return _text(error)
    if isinstance(error, ValueError | ImportError) and _is_ours(error):
        return _text(error)
    if _of_config(error):
        return f'in the config: {_text(error).splitlines()[0]}'
    return None


def run(main: Callable[[], Any]) -> None:
    """Run a tool's ``main``, whose result other than None is the exit code.

    Every ValueError is told here: these tools check what they are given. Training and testing, in
    which one may be a bug, have :func:`mmclip.engine.cli.run`.
    """
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        told = explain(error)
        if told is None and isinstance(error, ValueError | ImportError) and not _wants_traceback():
            told = _text(error)
        if told is None:
            raise
        sys.stdout.flush()
        sys.exit(f'error: {told}')
    sys.exit(status if isinstance(status, int) else 0)
