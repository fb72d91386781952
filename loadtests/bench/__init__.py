"""Side by side: this gateway, nginx and LiteLLM's proxy in front of the same scripted model server. ``python -m loadtests.bench``."""
