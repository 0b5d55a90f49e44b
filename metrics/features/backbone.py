"""Any network of timm as a feature network, from a local file of weights: DINOv2's ViT among them.

Stein et al., arXiv:2306.04675, found distances on DINOv2 features nearer to what people see than those on Inception's.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.features.network import Network, colour, shortened, tensors_of
from metrics.metric import Unavailable

DINOV2 = "vit_small_patch14_dinov2.lvd142m"
MAX_INPUT = 224  # pixels a side; networks for larger inputs are given this much, as arXiv:2306.04675 does


def backbone(model: str, weights: Path | None, device: torch.device | str = "cpu") -> Network:
    """timm's `model`, its pooled features, from <model>.safetensors in the folder `weights`.

    Unavailable without that file, and where its weights are not all of the model's and no others, as timm's hub has them.
    """
    path = (weights or Path()) / f"{model}.safetensors"
    tensors, digest = tensors_of(path, None)
    import timm  # imports for seconds

    card = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    if card is None:
        raise Unavailable(f"timm {timm.__version__} has no model {model}")
    if not tensors:  # timm would look for others on the internet
        raise Unavailable(f"{path.name} is not the weights of timm's {model}: it has no tensors")
    side = min(card.input_size[-1], MAX_INPUT)
    size: dict[str, Any] = {"img_size": side} if card.fixed_input_size and side != card.input_size[-1] else {}
    try:
        # with all of its classes: told of another number, timm would load whatever fits and leave the rest random
        net: Any = timm.create_model(model, pretrained=True, pretrained_cfg_overlay={"state_dict": tensors}, **size)
    except Exception as error:  # timm renames and resamples weights before it loads them, and fails on foreign ones in many ways
        raise Unavailable(f"{path.name} is not the weights of timm's {model}: {shortened(error)}") from None
    net.reset_classifier(0)
    net.to(device).eval()
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (card.mean, card.std))

    def rows(images: Tensor) -> Tensor:
        x = F.interpolate(colour(images).float(), (side, side), mode="bicubic", antialias=True).clamp(0, 255) / 255
        return net((x - mean) / std)

    return Network(f"timm:{model}", digest, f"antialiased bicubic to {side}", rows, batch=50)
