"""Where transitions come from: Minari, d3rlpy, files in HDF5."""
