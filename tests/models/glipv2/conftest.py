"""The package's parts, registered."""

import mmclip.models  # noqa: F401
