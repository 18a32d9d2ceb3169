"""What generates the text: llama.cpp with its weights, or a script."""
