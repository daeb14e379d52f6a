# ModelNet10's own OFF meshes (docs/en/datasets.md), 2048 points sampled by area, always the same; z is up in them.
# Few-shot training as modelnet40.py. The same objects, but with the alignment of ModelNet40, are in its h5 files:
#   dataset = dict(type='mmclip.ModelNetH5', version=10, data_root='data/modelnet40_ply_hdf5_2048')
data_root = 'data/ModelNet10'
num_shots = 16
shots_seed = 2

pack = dict(type='mmclip.PackPointInputs')
train_pipeline = [
    dict(type='mmclip.LoadPoints', num_points=2048),
    dict(type='mmclip.AxisUp', up='z'),
    dict(type='mmclip.UnitSphereNormalize'),
    dict(type='mmclip.FirstNPoints', num_points=1024),
    dict(type='mmclip.RandomScaleShiftPoints'),
    dict(type='mmclip.ShufflePoints'),
    pack,
]
test_pipeline = [
    dict(type='mmclip.LoadPoints', num_points=2048),
    dict(type='mmclip.AxisUp', up='z'),
    dict(type='mmclip.UnitSphereNormalize'),
    dict(type='mmclip.FirstNPoints', num_points=1024),
    pack,
]
dataset = dict(
    type='mmclip.ModelNetFolder',
    version=10,
    layout='off',
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
