//! Programs and commands that name a port of their own, where the router would not look for it.

/// A note on source that has an address with a port in it, as `":8080"`, and does not know PORT.
pub(crate) fn ignored(path: &str, text: &str) -> Option<String> {
    if text.contains("PORT") {
        return None;
    }
    let port = text.split('"').skip(1).step_by(2).find_map(port_of)?;
    Some(format!(
        "{path} names the port {port} and not PORT; the platform sends requests to the port that the variable PORT says. \
         Read it there, with {port} for when it is not set"
    ))
}

/// A note on the `web` command of `whose` that names a port and does not know PORT.
pub(crate) fn ignored_by(whose: &str, web: &str) -> Option<String> {
    if web.contains("PORT") {
        return None;
    }
    let words: Vec<&str> = web.split_whitespace().collect();
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 79);
    let named = words.iter().enumerate().find_map(|(index, word)| {
        let after = |word: &'_ str| word.rsplit_once([':', '=']).map(|(_, port)| port.to_owned());
        let next = words.get(index + 1).copied().unwrap_or_default();
        match *word {
            "-p" | "--port" | "-P" if is_port(next) => Some(next.to_owned()),
            "-b" | "--bind" | "-l" | "--listen" => after(next).filter(|port| is_port(port)),
            word if word.starts_with("--port=") || word.starts_with("--bind=") => {
                after(word).filter(|port| is_port(port))
            }
            _ => None,
        }
    })?;
    Some(format!(
        "The {whose} `web` listens on port {named} whatever PORT says; the platform sends requests to $PORT. \
         Write $PORT in place of {named}"
    ))
}

/// The port of `:8080`, `0.0.0.0:8080`, `localhost:8080`.
fn port_of(literal: &str) -> Option<u16> {
    let (host, port) = literal.rsplit_once(':')?;
    let is_host = ["", "0.0.0.0", "127.0.0.1", "localhost", "[::]", "[::1]"].contains(&host);
    let port = port.parse().ok()?;
    (is_host && port > 79).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_port_is_told_and_one_that_can_be_set_is_not() {
        assert!(
            ignored("main.go", "http.ListenAndServe(\":8080\", nil)")
                .is_some_and(|note| note.contains("8080"))
        );
        assert!(ignored("main.go", "port := os.Getenv(\"PORT\"); f(\":8080\")").is_none());
        assert!(ignored("main.go", "fmt.Println(\"see https://example.com:8080\")").is_none());
    }
}
