"""Settings of the processes: web, worker, sockets and the proxy in front of them."""
