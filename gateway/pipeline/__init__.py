"""The life of one exchange: ``life`` reads top to bottom, ``relay`` is its answer half, ``guard`` interrupts, ``trace`` records."""
