"""Which of several servers a request goes to: choice, quarantine, stickiness, and the queue where all are full."""
