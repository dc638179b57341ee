"""Jobs: work that the server gives to an instance.

An instance that states its `slots` is offered jobs. It accepts an offer, reports events, and ends the job with a
result, an error or interrupts. Each message names the attempt, and the registration and its epoch. A message that
does not match is fenced: the job was given to another instance, or has ended.

Rules
  1. An offer is accepted when the program begins the job, and at the latest after half of the server's time limit. It
     then waits here for the program, which promised a slot for it.
  2. Events are numbered from 1. They are sent in order, and kept until the server acknowledges them. After a broken
     connection they are repeated from the last acknowledgement.
  3. `emit` waits while 64 events or 256 KiB are not acknowledged. One message is sent at a time, at most every 20 ms:
     what is emitted meanwhile travels together.
  4. A registration names the jobs that this instance still has. The server answers with those that go on, and the
     others are lost.
  5. While a registration is in progress, no message about a job is sent, and none is believed to be fenced.
"""
