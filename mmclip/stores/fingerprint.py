"""What a store was made of, in a few digits: shards of another content are told apart."""

import hashlib
import json


def fingerprint(meta: dict) -> str:
    """16 hexadecimal digits over everything in ``meta`` but the fingerprint itself."""
    content = {key: value for key, value in meta.items() if key != 'fingerprint'}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
