# Answers with its own name.
run ->(_env) { [200, { "content-type" => "text/plain" }, ["Hello from ruby-rack\n"]] }
