// Package greeting is what both programs say.
package greeting

// Text names the app.
const Text = "Hello from go-workspace\n"
