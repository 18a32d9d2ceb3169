"""The wire: messages, data types, the contents of tensors and error texts of KServe v2."""
