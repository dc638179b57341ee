"""`agenthall agents register --exec COMMAND`: claims jobs over HTTP, and runs a command for each.

The command gets the job as JSON on standard input. Lines of its standard output are tokens. A status other than 0 is
an error, with the last lines of standard error. When the job is cancelled or lost, the command's process group gets
SIGTERM, and later SIGKILL.
"""
