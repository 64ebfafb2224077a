"""What happened: a trace told step by step, in the terminal and as one page of HTML."""
