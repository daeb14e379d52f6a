# V2's own sentences and weights, both searched on the test labels: 35.66 by the official README. The sentences
# (`best_param.py` there) go into the json file as class name -> sentence: docs/en/methods/point_clip.md.
#   python tools/test.py configs/point_clip/point_clip_v2_vit_b16_scan_object_nn_pb_t50_rs_zero_shot_official.py
_base_ = './point_clip_v2_vit_b16_scan_object_nn_pb_t50_rs_zero_shot.py'

model = dict(
    head=dict(prompts='data/point_clip_v2/scan_object_nn_vit_b16.json'),
    view_weights=[0.75, 0.75, 0.75, 0.5, 0.5, 1.0, 0.75, 1.0, 0.25, 0.25])
custom_hooks = [dict(type='mmclip.VocabularyHook')]
