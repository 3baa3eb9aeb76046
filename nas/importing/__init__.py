"""Published models become ours: configuration and weights of other architectures read into our operators."""
