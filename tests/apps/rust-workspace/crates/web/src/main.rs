use tiny_http::{Response, Server};

fn main() {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let server = Server::http(format!("0.0.0.0:{port}")).expect("the port is free");
    for request in server.incoming_requests() {
        let response = Response::from_string(greeting::text("rust-workspace"));
        if let Err(error) = request.respond(response) {
            eprintln!("{error}");
        }
    }
}
