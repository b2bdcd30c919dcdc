"""What an architecture offers, of the library or of a user's own."""

from collections.abc import Mapping
from dataclasses import Field
from typing import Any, ClassVar, Protocol


class Architecture(Protocol):
    """A frozen dataclass of sizes that builds the networks."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""

    def networks(
        self, latent_dim: int, n_params: int, axis_name: Any, /
    ) -> Mapping[str, Any]:
        """The Flax modules "trunk", "d", "q" and "g", as the package describes them.

        Args:
          latent_dim: width of what G is given.
          n_params: width of Q's parameters.
          axis_name: of the mapped axes that the norms' batch is split over, if any.
        """
