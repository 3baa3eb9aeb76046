"""What flash-linear-attention brings: its layers as operators, its kernels for ours, its packing."""
