# Tests only: neither validation nor training is configured.
test_cfg = dict(type='mmengine.TestLoop')
