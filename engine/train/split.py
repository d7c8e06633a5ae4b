"""Which wordings are for training and which are held out to evaluate on.

A wording (a prompt of a kind file, a frame of an edit, a line of chat.toml or outside.toml) and a combination of two or
more settings is for one or the other by its hash, so that a new line changes no other line's side.
"""

import hashlib
from typing import Literal

Split = Literal["train", "held_out"]

HELD_OUT_SHARE = 0.12


def is_held_out(wording: str) -> bool:
    """Whether a template or combination of settings is kept from training."""
    return int.from_bytes(hashlib.sha256(wording.encode()).digest()[:4], "big") < HELD_OUT_SHARE * 2**32


def is_of_split(wording: str, split: Split) -> bool:
    """Whether a template or combination of settings is on this side."""
    return is_held_out(wording) == (split == "held_out")
