"""Numbers that depend on a name alone: the same on every machine and in every process."""

import hashlib


def seeded_hash(*parts: object) -> int:
    """63 bits that depend on these parts alone, not on what else there is."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
