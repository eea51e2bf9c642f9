"""The six word families of the paper's layered probe (section 6.8).

Source: the published results of the reference repository, which list each family's members and the
root that its substring test searches for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One of the paper's word families; ``M`` counts words with the root, ``S`` counts members."""

    name: str
    root: str
    members: tuple[str, ...]


def _family(name: str, root: str, members: str) -> Family:
    return Family(name, root, tuple(members.split()))


FAMILIES = (
    _family(
        "run",
        "run",
        "run ran runs runner runners running runnable runaway runway rerun outrun",
    ),
    _family(
        "compute",
        "comput",
        "compute computed computer computers computes computing computation computational "
        "computability recompute uncomputable",
    ),
    _family(
        "nation",
        "nation",
        "nation nations national nationals nationally nationality nationalism nationalist "
        "international internationally multinational transnational",
    ),
    _family(
        "code",
        "cod",
        "code coded coder coders codes coding codec codecs decode decoded decoder decodes decoding "
        "encode encoded encoder encodes encoding recode recoded",
    ),
    _family(
        "act",
        "act",
        "act acts acted acting action actions active actively activation actor actors enact exact "
        "interact react reaction reacts transact",
    ),
    _family(
        "build",
        "build",
        "build builds builder builders building buildings buildup built rebuild rebuilt prebuilt "
        "unbuilt",
    ),
)
