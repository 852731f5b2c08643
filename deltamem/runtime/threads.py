"""CPU threads that give way. To be called by programs before PyTorch is imported, which this module does not do."""

import os


def give_way():
    """Let OpenMP threads sleep soon after they run out of work, unless the environment already says otherwise.

    By default they spin for milliseconds, which is fastest on an idle machine. But on two cores, as soon as a browser
    wants one of them, each of a decoding step's hundreds of waits is a fight for a core. Measured there with the demo
    model: spinning 18 to 28 tokens/s alone and 0.3 to 5 beside one busy process; sleeping 10 to 15 and 7 to 11.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "1000"
