# Groups well, classifies badly: the mIoU on PASCAL VOC if each group had the class of most of its pixels, and mIoU by
# the number of classes in an image. Whole images, since windows have groups of their own.
#   python tools/test.py configs/group_vit/group_vit_gcc_yfcc_voc_groups.py weights.pth
_base_ = './group_vit_gcc_yfcc_voc.py'
model = dict(test_cfg=dict(_delete_=True, mode='whole', bg_thresh=0.95))
test_evaluator = [dict(type='mmclip.OpenVocabIoU'), dict(type='mmclip.GroupIoU')]
val_evaluator = test_evaluator
