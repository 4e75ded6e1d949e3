"""The algorithms, free of any host library: (game or masked model, sampler or hierarchy) -> Explanation."""
