"""`network = "auto"`: which network a suite gets that leaves it to the images."""

LEAST = 16  # pixels of both sides


def chosen(shape: tuple[int, int, int]) -> str:
    """`conv` for images of at least 16 pixels a side, `mlp` for smaller ones, points and signals.   shape: (C, H, W)"""
    return "conv" if min(shape[1:]) >= LEAST else "mlp"
