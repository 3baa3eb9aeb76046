"""How the processes of one training are started, watched and ended: here, under torchrun, or by Ray Train."""
