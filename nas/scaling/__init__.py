"""The scaling law over depth and width: grids trained for it, its fit, its test beyond the fit, its advice [NF 2.1]."""
