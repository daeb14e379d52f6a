# What GLIP's full-size datasets do with images and texts: Pillow's antialiased resizing, short side drawn
# from five, flips that leave captions as they are, captions of at most 256 BERT tokens. Another text tower
# needs another tokenizer here.
tokenizer = dict(type='mmclip.BertTokens', source='bert-base-uncased')
load = dict(type='mmcv.LoadImageFromFile', imdecode_backend='pillow')
boxes = dict(type='mmdet.LoadAnnotations', with_bbox=True)
resize = dict(
    type='mmcv.RandomChoiceResize',
    scales=[(1333, 480), (1333, 560), (1333, 640), (1333, 720), (1333, 800)],
    resize_type='mmdet.FixScaleResize',
    keep_ratio=True,
    backend='pillow')
test_resize = dict(
    type='mmdet.FixScaleResize', scale=(800, 1333), keep_ratio=True, backend='pillow')
flip = dict(type='mmdet.RandomFlip', prob=0.5)
pack = dict(type='mmclip.PackGroundingInputs')
caption = dict(type='mmclip.CaptionGrounding', tokenizer=tokenizer)

detection_pipeline = [
    load,
    boxes,
    resize,
    flip,
    dict(type='mmclip.DetToGrounding', tokenizer=tokenizer, num_negatives=85),
    pack,
]
# For a few classes: all of them, in order.
all_classes_pipeline = [
    load,
    boxes,
    resize,
    flip,
    dict(type='mmclip.DetToGrounding', tokenizer=tokenizer, all_classes=True),
    pack,
]
grounding_pipeline = [load, boxes, resize, flip, caption, pack]
# Images of shards are loaded already. Captions of other images are negatives.
shards_pipeline = [
    boxes,
    resize,
    flip,
    dict(type='mmclip.PackCaptions', tokenizer=tokenizer),
    caption,
    pack,
]
# The model's own vocabulary.
test_pipeline = [
    load,
    test_resize,
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text',
                   'custom_entities', 'tokens_positive')),
]
# Each image's own caption.
phrases_pipeline = [load, test_resize, caption, pack]
