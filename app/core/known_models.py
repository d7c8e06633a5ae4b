"""Published models that the anatomy page puts beside the one in use, from resources/anatomy/models.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.resources import resource_text


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A published model; `config` holds the numbers of its config.json, `published` what its makers say of it."""

    name: str
    source: str
    published: str
    config: Mapping[str, Any]


def known_models() -> tuple[KnownModel, ...]:
    """Read them, in the file's order."""
    return tuple(KnownModel(**model) for model in tomllib.loads(resource_text("anatomy", "models.toml"))["models"])
