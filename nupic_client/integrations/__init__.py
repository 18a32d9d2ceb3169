"""What connects the clients with other libraries: a module or package each, and its extra if it needs one."""
