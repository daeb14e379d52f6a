# ViLD-text with ResNet-50 on LVIS v1 (paper, table 3): mask AP_r 10.1, AP 24.9. No distillation.
# Train: tools/dist_train.sh configs/vild/vild_text_r50_lvis.py 8 --auto-scale-lr
# Effective batch 256. Figures are the paper's.
_base_ = './vild_r50_lvis.py'
