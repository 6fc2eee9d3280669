use std::time::Duration;

fn main() {
    for number in 1.. {
        print!("{}: {}", greeting::count(number), greeting::text("the worker"));
        std::thread::sleep(Duration::from_secs(60));
    }
}
