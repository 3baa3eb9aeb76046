"""Several processes that train one model together, and one that trains it alone."""
