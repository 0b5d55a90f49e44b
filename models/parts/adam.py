"""The optimiser of a part that has a player of its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Adam:
    """How a player of a part is trained; None is the suite's."""

    lr: float | None = None
    decay: float = 1.0  # per epoch, on top of the suite's schedule
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.lr is not None and not self.lr > 0:
            raise ValueError(f"a player's lr must be positive, not {self.lr}")
        if not self.decay > 0:
            raise ValueError(f"a player's decay must be positive, not {self.decay}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive, not {self.clip}")
