# ActionCLIP with CLIP's ViT-B/32, 8 frames, and a temporal transformer of 6 blocks behind the image tower.
model = dict(
    type='mmclip.ActionCLIPRecognizer',
    model='ViT-B-32-quickgelu',
    pretrained='openai',
    num_frames=8,
    prompts='action_clip_16',
    post_prompt=dict(type='mmclip.ActionTransf', layers=6),
    loss=dict(type='mmclip.MultiPositiveKLLoss', sharpness=10.0))
