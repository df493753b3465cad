"""What a layer owns is seen by torch: parameters, buffers, submodules, constructor."""
