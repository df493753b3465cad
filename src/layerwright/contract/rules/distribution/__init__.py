"""Training on several devices: wrappers of torch.distributed find what they rely on."""
