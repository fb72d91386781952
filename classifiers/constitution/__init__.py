"""What is harmful, what is adjacent and fine: the texts (TOML) that data is written from, and their reader."""
