//! Autoscaling for real: web under load, what measures it, and the autoscaler that goes by that.

use slipway_tests::{Cluster, Door, LONG, until};

/// Each answer costs a twentieth of a second of CPU.
const SERVER: &str = r#"
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        data = open("answer").read().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

#[test]
fn web_is_scaled_up_under_load_stays_so_through_a_release_and_goes_down_without_it() {
    let Some(cluster) = Cluster::namespace("loaded") else { return };
    let Some(platform) = cluster.measures().then(|| cluster.platform().start()).flatten() else { return };
    let app = platform.app("busy").answering("one");
    app.write("server.py", SERVER).commit("answers that cost something");
    app.push(Door::Ssh).ok();
    app.verb(&["ps:autoscale", "web", "--min", "1", "--max", "2", "--cpu", "70"])
        .ok()
        .says("done, now running web at 1 to 2, by 70 % of their CPUs");
    cluster.until_pods(1);

    // Two who ask one thing after the other keep the one process busy.
    let load = [cluster.traffic("busy"), cluster.traffic("busy")];
    until("the autoscaler to ask for a second process", LONG, || cluster.replicas("busy-web") == "2");
    cluster.until_pods(2);
    app.verb(&["ps:scale", "web=1"])
        .refused("web is autoscaled, from 1 to 2 processes: `ps:autoscale web --off` first");

    let mut asked = cluster.watch_replicas("busy-web");
    asked.until_says("2");
    app.answer("two");
    app.push(Door::Http).ok().says("Released v2");
    let numbers = asked.so_far();
    asked.vanish();
    assert!(numbers.lines().all(|number| number == "2"), "the release took the number back: {numbers}");
    for traffic in load {
        traffic.until_answers("two", 5);
        assert_eq!(traffic.stop().failures, Vec::<String>::new());
    }

    until("the autoscaler to take the second process away", LONG, || cluster.replicas("busy-web") == "1");
    cluster.until_pods(1);
    assert_eq!((cluster.browse("busy", "/"), app.current()), ("two".to_owned(), 2));
    app.verb(&["ps:autoscale", "web", "--off"]).ok().says("now running web at 1:standard");
}
