"""The prompt formats of the model families, one small module each."""
