"""GroupViT's second loss: an image belongs to several texts."""

import torch
import torch.nn.functional as F

from mmclip.distributed import gather_with_grad


def multi_label_loss(
    image_features: torch.Tensor, prompt_features: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    r"""Contrastive loss of images with P noun prompts each.

    .. math:: L = \tfrac12 \Big[ -\tfrac1N \sum_i \tfrac1P \sum_p
              \log \mathrm{softmax}(s\, I T^\top)_{i,ip} + CE(s\, T I^\top, own) \Big]

    An image's target among the prompts of all images is 1/P at its own P; each prompt's target
    among all images is its own. With several processes each one computes the rows of its own
    images and prompts against those of all.

    Source: GroupViT, equations 9 to 11.

    Args:
        image_features: L2-normalized.
        prompt_features: L2-normalized, P per image.
        logit_scale: Multiplies the cosines.

    Shapes:
        (N, D), (N, P, D), () -> (). An empty batch gives a zero with a graph.

    Raises:
        ValueError: the shapes do not fit.
    """
    fits = prompt_features.ndim == 3 and image_features.shape == prompt_features[:, 0].shape
    if not fits:
        raise ValueError(
            f'image_features {tuple(image_features.shape)} and prompt_features '
            f'{tuple(prompt_features.shape)} must be (N, D) and (N, P, D)'
        )
    count, prompts = prompt_features.shape[:2]
    if not count:
        return (image_features.sum() + prompt_features.sum()) * logit_scale.sum()
    with torch.autocast(image_features.device.type, enabled=False):
        images, texts = image_features.float(), prompt_features.float().flatten(0, 1)
        scale = torch.as_tensor(logit_scale).float()
        all_images, start = gather_with_grad(images)
        all_texts, _ = gather_with_grad(texts)
        own = torch.arange(start, start + count, device=images.device)
        to_texts = (scale * images @ all_texts.T).log_softmax(1).unflatten(1, (-1, prompts))
        to_texts = -to_texts.mean(2).gather(1, own[:, None]).mean()
        to_images = F.cross_entropy(scale * texts @ all_images.T, own.repeat_interleave(prompts))
    return (to_texts + to_images) / 2
