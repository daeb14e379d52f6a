# PointCLIP V2 zero-shot on ScanObjectNN, PB_T50_RS, CLIP's RN101.
#   python tools/test.py configs/point_clip/point_clip_v2_rn101_scan_object_nn_pb_t50_rs_zero_shot.py
_base_ = './point_clip_v2_vit_b16_scan_object_nn_pb_t50_rs_zero_shot.py'

clip = dict(model='RN101-quickgelu', pretrained='openai')
model = dict(backbone=clip, head=dict(text_encoder=clip))
