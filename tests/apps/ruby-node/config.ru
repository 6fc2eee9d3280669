# Answers with the text that Node.js built.
run ->(_env) { [200, { "content-type" => "text/plain" }, [File.read("public/greeting.txt")]] }
