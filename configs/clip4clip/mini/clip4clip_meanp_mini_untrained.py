# On MiniWorld: the mini CLIP as it is, zero-shot; needs no checkpoint.
# python tools/test.py configs/clip4clip/mini/clip4clip_meanp_mini_untrained.py
_base_ = './clip4clip_meanp_mini.py'
needs_checkpoint = False  # `pretrained` is all there is
