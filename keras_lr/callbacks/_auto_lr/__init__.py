"""`AutoLR`: its rules live in `analysis._auto_lr_rules`."""
