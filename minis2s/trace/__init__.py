"""One training step or one decode, recorded and shown: every array, forward and backward."""
