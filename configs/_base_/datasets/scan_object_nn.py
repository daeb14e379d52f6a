# ScanObjectNN (docs/en/datasets.md), the hardest variant; the others by `variant`: obj_only, obj_bg. Scans in meters
# with y up, so each is brought into the unit sphere; a copy with other axes: `up`. PointCLIP's official code has no
# pipeline for it: the few-shot recipe is that of modelnet40.py.
data_root = 'data/scan_object_nn/h5_files'
variant = 'pb_t50_rs'
up = 'y'
num_shots = 16
shots_seed = 2

pack = dict(type='mmclip.PackPointInputs')
train_pipeline = [
    dict(type='mmclip.LoadPoints'),
    dict(type='mmclip.AxisUp', up=up),
    dict(type='mmclip.UnitSphereNormalize'),
    dict(type='mmclip.FirstNPoints', num_points=1024),
    dict(type='mmclip.RandomScaleShiftPoints'),
    dict(type='mmclip.ShufflePoints'),
    pack,
]
test_pipeline = [
    dict(type='mmclip.LoadPoints'),
    dict(type='mmclip.AxisUp', up=up),
    dict(type='mmclip.UnitSphereNormalize'),
    dict(type='mmclip.FirstNPoints', num_points=1024),
    pack,
]
dataset = dict(
    type='mmclip.ScanObjectNN',
    variant=variant,
    data_root=data_root,
    num_shots=num_shots,
    shots_seed=shots_seed,
    val_ratio=0.1)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline, **dataset))
val_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', test_mode=True, pipeline=test_pipeline, **dataset))
test_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='test', test_mode=True, pipeline=test_pipeline, **dataset))
val_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
test_evaluator = dict(type='mmclip.TopKAccuracy', topk=(1, 5))
val_cfg = dict()
test_cfg = dict()
