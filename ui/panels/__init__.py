"""The parts of the page: each builds its components and knows how to draw what they show, nothing else."""
