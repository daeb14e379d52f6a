# GLIPv2-T on Flickr30k Entities: recall of phrases. R@1 86.5 (from the paper by memory; not measured here).
# Test: python tools/test.py configs/glipv2/glipv2_t_swin-t_flickr30k.py CHECKPOINT
_base_ = '../glip/glip_t_swin-t_flickr30k.py'

model = dict(type='mmclip.GLIPv2Detector', bbox_head=dict(type='mmclip.GLIPv2Head'))
