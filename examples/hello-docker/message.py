"""The one line that the demo changes."""

MESSAGE = "Hello from Slipway: version one"
