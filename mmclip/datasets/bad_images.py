"""What a dataset does about images that are missing or broken."""

import os
from collections import Counter

from mmengine.fileio import get
from mmengine.logging import print_log

from mmclip.io.image import decode_image


class SkipsBadImages:
    """Part of a dataset whose samples name ``img_path``.

    A bad image stops testing with its name; with ``skip_bad_images`` training takes another
    sample instead (at most ``max_refetch`` times in a row) and counts it.
    """

    skip_bad_images = False

    def prepare_data(self, idx: int) -> dict | None:
        """The ``idx``-th sample; None for a bad image that may be skipped."""
        info = self.get_data_info(idx)
        path = info['img_path']
        try:
            return self.pipeline(info)
        except Exception:
            problem = image_problem(path, backend_args=self.backend_args)
            if problem is None:
                raise
            if self.test_mode or not self.skip_bad_images:
                raise type(problem)(
                    f'{problem} (named by {self.ann_file}). In training '
                    '`skip_bad_images=True` skips and counts such images'
                ) from None
        if not hasattr(self, 'bad_images'):
            self.bad_images = Counter()
        self.bad_images[path] += 1
        if self.bad_images[path] == 1:
            print_log(f'skipped bad image {len(self.bad_images)}: {problem}', logger='current')
        return None


def image_problem(path: str, *, backend_args: dict | None = None) -> Exception | None:
    """What is wrong with an image file: a FileNotFoundError, a ValueError, or None."""
    if backend_args is None and not os.path.isfile(path):
        return FileNotFoundError(f'image {path!r} does not exist')
    try:
        data = get(path, backend_args=backend_args)
    except Exception as error:
        return FileNotFoundError(f'image {path!r} cannot be read: {error}')
    try:
        decode_image(data, name=f'image {path!r}')
    except ValueError as error:
        return error
    return None
