"""One network, trained by several processes that torchrun starts."""
