"""Open response streams: their admission, production and re-authorization, and the bridge to the thread that sends
them."""
