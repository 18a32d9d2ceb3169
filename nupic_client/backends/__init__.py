"""How each kind of model on a Triton spells a text-generation request and its answers."""
