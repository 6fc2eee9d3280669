# Answers with its own name.
require "kramdown"

GREETING = Kramdown::Document.new("Hello from ruby-vendored\n").to_html

run ->(_env) { [200, { "content-type" => "text/html" }, [GREETING]] }
