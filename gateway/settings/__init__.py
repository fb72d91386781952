"""Configuration: YAML files, environment and flags, checked as a whole; the only importer of pydantic and ruamel.yaml."""
