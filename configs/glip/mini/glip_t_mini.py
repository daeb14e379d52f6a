# GLIP with self-training on MiniWorld: (C) and captions of other images, whose phrases the teacher
# glip_c_mini.py has found boxes for.
# Labels: python tools/pseudo_label.py configs/glip/mini/glip_c_mini.py work_dirs/glip_c_mini/iter_1200.pth
#             --shards 'data/mini_world/grounding/pairs-{00000..00007}.tar' --out data/mini_world_pseudo
#             --phrases mini_world
# Train:  python tools/train.py configs/glip/mini/glip_t_mini.py
# Test:   python tools/test.py configs/glip/mini/glip_t_mini.py work_dirs/glip_t_mini/iter_1200.pth
# Effective batch 8.
_base_ = [
    '../../_base_/mmdet_runtime.py',
    '../../_base_/models/glip_mini.py',
    '../../_base_/datasets/mini_world_glip_pseudo.py',
    '../../_base_/schedules/glip_mini.py',
]
default_scope = 'mmdet'
visualizer = dict(
    type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
