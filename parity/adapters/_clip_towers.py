"""The CLIP of the fixtures of ActionCLIP and CLIP4Clip."""


def architecture(config: dict) -> dict:
    """open_clip's architecture for the constructor arguments of a fixture."""
    return dict(
        embed_dim=config['embed_dim'],
        quick_gelu=True,
        vision_cfg=dict(
            image_size=config['image_resolution'],
            layers=config['vision_layers'],
            width=config['vision_width'],
            head_width=64,
            patch_size=config['patch'],
        ),
        text_cfg=dict(
            context_length=config['context_length'],
            vocab_size=config['vocab'],
            width=config['text_width'],
            heads=max(1, config['text_width'] // 64),
            layers=config['text_layers'],
        ),
    )
