"""`python -m deltamem.tools.bench`: how fast the memory is beside the backbone alone, once it is seen to be right."""
