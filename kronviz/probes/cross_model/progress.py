"""How the steps of a run tell how far they are, and hear that it is enough."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float], object]
"""Called with the share that is done, 0 to 1; an answer of ``False`` stops the run and keeps what
was measured."""


class Enough(Exception):
    """Raised through a step that can be ended in no other way."""


class Teller:
    """Tells how far a run is, and remembers that it was told to stop."""

    def __init__(self, progress: Progress | None):
        self._progress = progress
        self.enough = False

    def __call__(self, share: float) -> bool:
        """Whether the run goes on."""
        if not self.enough and self._progress is not None and self._progress(share) is False:
            self.enough = True
        return not self.enough

    def part(self, offset: float, width: float) -> Callable[[float], None]:
        """For a step that is some part of the run and that only an exception ends."""

        def tell(share: float) -> None:
            if not self(offset + share * width):
                raise Enough

        return tell
