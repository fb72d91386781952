"""The life of one exchange: ``life`` reads from top to bottom; ``relay`` is its answer half; ``guard`` interrupts it; ``trace`` records it."""
